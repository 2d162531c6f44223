// Contract of scale_gradient_, and the operator. It multiplies a gradient, which a forward pass has saved, in place by
// a number that only the device knows. For the usual number, 1, it touches no element.
#pragma once

#include "common/check.h"
#include "common/dispatch.h"
#include "ops/scale_gradient/scale_gradient_math.h"

namespace colad {

// Whether the elements fill one piece of memory, in any order of the dimensions.
inline bool has_no_gaps(const Tensor& tensor) {
  int64_t expected = 1;
  std::vector<bool> seen(tensor.dim(), false);
  for (int64_t found = 0; found < tensor.dim(); ++found) {
    int64_t next = -1;
    for (int64_t d = 0; d < tensor.dim() && next < 0; ++d) {
      next = !seen[d] && (tensor.size(d) <= 1 || tensor.stride(d) == expected) ? d : -1;
    }
    if (next < 0) {
      return false;
    }
    seen[next] = true;
    expected *= tensor.size(next);
  }
  return true;
}

struct ScaleGradientCall {
  void* gradient;
  const void* grad;  // in the compute type
  int64_t count;
};

inline ScaleGradientCall scale_gradient_contract(const Tensor& gradient, const Tensor& grad) {
  check_floating(gradient, "gradient");
  check(gradient.numel() == 0 || has_no_gaps(gradient), "gradient should have no gaps in memory, got shape ",
        shape_of(gradient));
  check_shape(grad, "grad", {}, "()");
  check_dtype(grad, "grad", compute_type(gradient.scalar_type()));
  check_same_device(grad, "grad", gradient, "gradient");
  return {gradient.data_ptr(), grad.data_ptr(), gradient.numel()};
}

template <typename Backend>
void scale_gradient_op(const Tensor& gradient, const Tensor& grad) {
  const ScaleGradientCall call = scale_gradient_contract(gradient, grad);
  if (call.count > 0) {
    dispatch_floating(gradient.scalar_type(), [&]<typename T>() { Backend::template run<T>(call, gradient); });
  }
}

}  // namespace colad
