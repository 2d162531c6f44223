// Before csrc/common/allocate.h: every tensor that an operator makes is handed to the launches that follow.
#pragma once

#define new_tensor unseen_new_tensor
#define new_like unseen_new_like
#define new_scratch unseen_new_scratch
#define copy_of unseen_copy_of
#define as_contiguous unseen_as_contiguous
#include_next "common/allocate.h"
#undef new_tensor
#undef new_like
#undef new_scratch
#undef copy_of
#undef as_contiguous

#include "../../card.h"
#include "../../simt.h"

namespace colad {

inline Tensor seen(const Tensor& tensor, simt::Origin origin) {
  if (!simt::card.allocates) {
    simt::hand_over(tensor.data_ptr(), tensor.numel() * tensor.element_size(), origin);
  }
  return tensor;
}

inline Tensor new_tensor(const Tensor& like, Sizes sizes, ScalarType type) {
  return seen(unseen_new_tensor(like, sizes, type), simt::Origin::scratch);
}

inline Tensor new_tensor(const Tensor& like, Sizes sizes) {
  return seen(unseen_new_tensor(like, sizes), simt::Origin::scratch);
}

inline Tensor new_like(const Tensor& like) { return seen(unseen_new_like(like), simt::Origin::scratch); }

// Each array by itself: what lies between two of them belongs to none. On a card its allocator hands over the whole.
template <typename... T>
std::optional<Tensor> new_scratch(const Tensor& like, Room<T>... rooms) {
  const std::optional<Tensor> memory = unseen_new_scratch(like, rooms...);
  if (!simt::card.allocates) {
    (simt::hand_over(rooms.pointer, rooms.count * sizeof(T), simt::Origin::scratch), ...);
  }
  return memory;
}

inline Tensor copy_of(const Tensor& tensor) { return seen(unseen_copy_of(tensor), simt::Origin::copy); }

inline Tensor as_contiguous(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : seen(unseen_as_contiguous(tensor), simt::Origin::input);
}

inline std::optional<Tensor> as_contiguous(const std::optional<Tensor>& tensor) {
  return tensor ? std::optional<Tensor>(as_contiguous(*tensor)) : std::nullopt;
}

}  // namespace colad
