// The part that the element-wise losses share: logits (images, anchors, columns) of any strides, read in place; an
// optional weight; and a result that is one value an element or one deterministic sum.
#pragma once

#include <string_view>

#include "common/allocate.h"
#include "common/dispatch.h"

namespace colad {

struct Element {
  int64_t image, anchor, column;
};

// A tensor as (images, anchors, columns). A stride of 0 repeats it along that dimension.
struct Strided {
  const void* data = nullptr;
  int64_t image = 0, anchor = 0, column = 0;

  COLAD_HD int64_t at(const Element& e) const { return e.image * image + e.anchor * anchor + e.column * column; }
};

// What a sum and its gradient are divided by: a number of the host or of the device, and at least 1. NaN stays NaN.
struct Divisor {
  double number = 1.0;
  const void* data = nullptr;  // the number of the device, if there is one
  ScalarType dtype = ScalarType::Double;

  template <typename C>
  COLAD_HD C value() const {
    C found = static_cast<C>(number);
    if (data != nullptr) {
      found = dtype == ScalarType::Float    ? static_cast<C>(*static_cast<const float*>(data))
              : dtype == ScalarType::Double ? static_cast<C>(*static_cast<const double*>(data))
                                            : static_cast<C>(*static_cast<const int64_t*>(data));
    }
    return maximum(found, C(1));
  }
};

struct LossParams {
  int64_t images, anchors, columns;
  bool columns_outermost;  // the order of memory. True: class maps (NCHW). False: class rows (NHWC, plain)
  bool weight_of_rows;     // one weight a row, not one an element
  Strided input, weight, grad, out;
  void* result;  // the data of `out`; null if only the sum is asked for
  void* total;   // the sum, divided
  Divisor divisor;

  COLAD_HD int64_t count() const { return images * anchors * columns; }

  // Element `i` in the order of memory.
  COLAD_HD Element element(int64_t i) const {
    const int64_t plane = anchors * columns;
    const int64_t image = quotient(i, plane), rest = i - image * plane;
    if (columns_outermost) {
      const int64_t column = quotient(rest, anchors);
      return {image, rest - column * anchors, column};
    }
    const int64_t anchor = quotient(rest, columns);
    return {image, anchor, rest - anchor * columns};
  }

  // Goes from element(i) to element(i + 1).
  COLAD_HD void advance(Element& e) const {
    if (columns_outermost) {
      if (++e.anchor == anchors) {
        e.anchor = 0;
        ++e.column;
      }
      if (e.column == columns) {
        e.column = 0;
        ++e.image;
      }
    } else {
      if (++e.column == columns) {
        e.column = 0;
        ++e.anchor;
      }
      if (e.anchor == anchors) {
        e.anchor = 0;
        ++e.image;
      }
    }
  }
};

struct LossCall {
  Tensor out, total;
  LossParams params;
  ScalarType dtype;
};

// The result of a call: one value an element (loss or gradient), the sum of the losses, or the sum and the gradients.
enum class LossResult { elements, sum, sum_and_gradient };

// The result that the argument `reduction` selects. For a mean, the caller of the operator divides the sum.
inline LossResult loss_result(std::string_view reduction) {
  constexpr Choice<LossResult> kReduction[] = {{"none", LossResult::elements}, {"sum", LossResult::sum}};
  return choice(reduction, "reduction", kReduction);
}

// Whether element(i) is i values after the first element in memory.
inline bool lies_in_order(const LossParams& p, const Strided& s) {
  const bool maps = p.columns_outermost;
  return (p.images == 1 || s.image == p.anchors * p.columns) &&
         (p.anchors == 1 || s.anchor == (maps ? 1 : p.columns)) &&
         (p.columns == 1 || s.column == (maps ? p.anchors : 1));
}

// `tensor` has the last dimensions of (images, anchors, columns). The first ones may be missing.
inline Strided strided(const Tensor& tensor) {
  const int64_t d = tensor.dim();
  return {tensor.data_ptr(), d >= 3 ? tensor.stride(d - 3) : 0, d >= 2 ? tensor.stride(d - 2) : 0,
          d >= 1 ? tensor.stride(d - 1) : 0};
}

// A tensor with one value a row: (images, anchors).
inline Strided strided_rows(const Tensor& tensor) {
  const int64_t d = tensor.dim();
  return {tensor.data_ptr(), d >= 2 ? tensor.stride(d - 2) : 0, d >= 1 ? tensor.stride(d - 1) : 0, 0};
}

// `grad` is given for gradients: one value an element, or a scalar for the gradient of the sum.
inline LossCall loss_contract(const Tensor& input, const char* name, const std::optional<Tensor>& weight,
                              const Tensor* grad, LossResult result) {
  check_floating(input, name);
  const int64_t d = input.dim();
  check(d >= 1 && d <= 3, name, " should have 1 to 3 dimensions here (flatten the leading ones), got ",
        shape_of(input));
  const auto sizes = input.sizes();
  LossParams p{};
  p.images = d >= 3 ? sizes[0] : 1;
  p.anchors = d >= 2 ? sizes[d - 2] : 1;
  p.columns = sizes[d - 1];
  p.input = strided(input);
  p.columns_outermost = p.input.column > p.input.anchor && d >= 2;
  if (weight) {
    check_dtype(*weight, "weight", compute_type(input.scalar_type()));
    check_same_device(*weight, "weight", input, name);
    const bool rows = weight->dim() == d - 1;
    check_shape(*weight, "weight", {sizes.begin(), rows ? sizes.end() - 1 : sizes.end()},
                "of the logits, with or without their last dimension");
    p.weight = rows ? strided_rows(*weight) : strided(*weight);
    p.weight_of_rows = rows;
  }
  const ScalarType sum_dtype = compute_type(input.scalar_type());
  LossCall call{input, input, p, input.scalar_type()};
  LossParams& q = call.params;
  if (grad != nullptr) {
    const bool scalar = grad->dim() == 0;
    if (!scalar) {
      check_shape(*grad, "grad", {sizes.begin(), sizes.end()}, "() or that of the logits");
    }
    check_same_device(*grad, "grad", input, name);
    check_dtype(*grad, "grad", scalar ? sum_dtype : input.scalar_type());
    q.grad = scalar ? Strided{grad->data_ptr()} : strided(*grad);
  }
  if (result != LossResult::elements) {
    call.total = new_tensor(input, {}, sum_dtype);
    q.total = call.total.data_ptr();
  }
  if (result != LossResult::sum) {
    call.out = new_like(input);
    q.out = strided(call.out);
    q.result = call.out.data_ptr();
  }
  return call;
}

// Sets the divisor of the sum: the scalar tensor, the number or, for a mean without either, the number of elements.
inline void set_divisor(LossCall& call, const Tensor& input, const char* name, std::string_view reduction,
                        const std::optional<Tensor>& avg_factor_tensor, std::optional<double> avg_factor) {
  constexpr Choice<bool> kMean[] = {{"sum", false}, {"mean", true}};
  Divisor& divisor = call.params.divisor;
  divisor.number = choice(reduction, "reduction", kMean) ? static_cast<double>(call.params.count()) : 1.0;
  divisor.number = avg_factor.value_or(divisor.number);
  if (avg_factor_tensor) {
    check_same_device(*avg_factor_tensor, "avg_factor", input, name);
    check_shape(*avg_factor_tensor, "avg_factor", {}, "()");
    divisor.data = avg_factor_tensor->data_ptr();
    divisor.dtype = avg_factor_tensor->scalar_type();
    check(
        divisor.dtype == ScalarType::Float || divisor.dtype == ScalarType::Double || divisor.dtype == ScalarType::Long,
        "avg_factor should be float32, float64 or int64, got ", dtype_name(divisor.dtype));
  }
}

template <typename T>
COLAD_HD compute_t<T> weight_at(const LossParams& p, const Element& e) {
  using C = compute_t<T>;
  return p.weight.data == nullptr ? C(1) : static_cast<const C*>(p.weight.data)[p.weight.at(e)];
}

// The gradient of the sum, which has the compute type.
template <typename C>
COLAD_HD C grad_of_sum(const LossParams& p) {
  return *static_cast<const C*>(p.grad.data);
}

// The gradient is 0 for every logit, also NaN, if the weight or the gradient of the result is 0.
template <typename C, typename Derivative>
COLAD_HD C weighted_gradient(C weight, C grad, Derivative derivative) {
  return weight * grad == C(0) ? C(0) : grad * (weight * derivative());
}

}  // namespace colad
