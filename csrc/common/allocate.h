// New tensors on the same device as a given tensor.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <vector>

#include "common/check.h"

namespace colad {

inline Tensor new_tensor(const Tensor& like, const std::vector<int64_t>& sizes, ScalarType type) {
  return torch::stable::new_empty(like, sizes, type);
}

inline Tensor new_tensor(const Tensor& like, const std::vector<int64_t>& sizes) {
  return torch::stable::new_empty(like, sizes);
}

inline Tensor new_like(const Tensor& like) { return torch::stable::empty_like(like); }

inline Tensor copy_of(const Tensor& tensor) { return torch::stable::clone(tensor); }

inline Tensor as_contiguous(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

inline std::optional<Tensor> as_contiguous(const std::optional<Tensor>& tensor) {
  return tensor ? std::optional<Tensor>(as_contiguous(*tensor)) : std::nullopt;
}

template <typename T>
const T* data_or_null(const std::optional<Tensor>& tensor) {
  return tensor ? static_cast<const T*>(tensor->data_ptr()) : nullptr;
}

}  // namespace colad
