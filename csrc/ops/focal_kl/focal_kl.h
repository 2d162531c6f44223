// Contract of focal_kl_loss, its value and derivative at one element, and the operators. A backend passes its loop over
// the elements as a template parameter.
#pragma once

#include "common/boxed.h"
#include "ops/focal_kl/focal_kl_math.h"
#include "ops/losses/loss_layout.h"

namespace colad {

// The options as the caller gives them. FocalKlOptions<T> holds the options of the formula.
struct FocalKlLossOptions {
  double gamma;
  bool teacher_is_logits;
  double smooth;
};

inline FocalKlLossOptions focal_kl_loss_options(double gamma, bool teacher_is_logits, double smooth) {
  check(gamma >= 0, "gamma should be >= 0, got ", gamma);
  check_finite(gamma, "gamma");
  check(smooth >= 0, "smooth should be >= 0, got ", smooth);
  check_finite(smooth, "smooth");
  return {.gamma = gamma, .teacher_is_logits = teacher_is_logits, .smooth = smooth};
}

template <>
inline constexpr auto kMakeOptions<FocalKlLossOptions> = &focal_kl_loss_options;

struct FocalKlCall {
  LossCall loss;
  Strided teacher;
  FocalKlLossOptions options;
};

inline FocalKlCall focal_kl_contract(const Tensor& student_logits, const Tensor& teacher,
                                     const std::optional<Tensor>& weight, const FocalKlLossOptions& options,
                                     const Tensor* grad, LossResult result) {
  check(student_logits.dim() >= 1, "student_logits should have shape (..., C), got ", shape_of(student_logits));
  const auto sizes = student_logits.sizes();
  check_shape(teacher, "teacher", {sizes.begin(), sizes.end()}, "of student_logits");
  check_same_dtype(teacher, "teacher", student_logits, "student_logits");
  check_same_device(teacher, "teacher", student_logits, "student_logits");
  return {loss_contract(student_logits, "student_logits", weight, grad, result), strided(teacher), options};
}

// The operands of one loss.
template <typename T>
struct FocalKlOperands {
  using C = compute_t<T>;
  static constexpr bool kTargetOfRow = false;
  Strided student, teacher;
  C gamma, smooth;
  bool teacher_is_logits;

  explicit FocalKlOperands(const FocalKlCall& call)
      : student(call.loss.params.input),
        teacher(call.teacher),
        gamma(static_cast<C>(call.options.gamma)),
        smooth(static_cast<C>(call.options.smooth)),
        teacher_is_logits(call.options.teacher_is_logits) {}

  COLAD_HD C logit(const Element& e) const {
    return static_cast<C>(static_cast<const T*>(student.data)[student.at(e)]);
  }
  COLAD_HD C target_at(const Element& e) const {
    return static_cast<C>(static_cast<const T*>(teacher.data)[teacher.at(e)]);
  }
  COLAD_HD bool counts(const Element&) const { return true; }
};

// Walk is how a backend goes over the elements: CpuLoss or CudaLoss, and Walk::At<T>, the operands with the formula.
template <typename Walk>
Tensor focal_kl_loss_op(const Tensor& student_logits, const Tensor& teacher, std::optional<Tensor> weight,
                        std::string_view reduction, const FocalKlLossOptions& options) {
  const LossResult result = loss_result(reduction);
  const FocalKlCall call = focal_kl_contract(student_logits, teacher, weight, options, nullptr, result);
  const bool sum = result == LossResult::sum;
  dispatch_floating(call.loss.dtype, [&]<typename T>() {
    Walk::template forward<T>(call.loss, typename Walk::template At<T>(call), sum);
  });
  return sum ? call.loss.total : call.loss.out;
}

// Returns the sum divided by max(1, avg_factor), and its gradient. A mean without avg_factor is divided by the number
// of elements.
template <typename Walk>
std::tuple<Tensor, Tensor> focal_kl_loss_and_gradient_op(const Tensor& student_logits, const Tensor& teacher,
                                                         std::optional<Tensor> weight,
                                                         std::optional<Tensor> avg_factor_tensor,
                                                         std::optional<double> avg_factor, std::string_view reduction,
                                                         const FocalKlLossOptions& options) {
  FocalKlCall call = focal_kl_contract(student_logits, teacher, weight, options, nullptr, LossResult::sum_and_gradient);
  set_divisor(call.loss, student_logits, "student_logits", reduction, avg_factor_tensor, avg_factor);
  dispatch_floating(call.loss.dtype, [&]<typename T>() {
    Walk::template sum_and_gradient<T>(call.loss, typename Walk::template At<T>(call));
  });
  return {call.loss.total, call.loss.out};
}

template <typename Walk>
Tensor focal_kl_loss_backward_op(const Tensor& grad, const Tensor& student_logits, const Tensor& teacher,
                                 std::optional<Tensor> weight, const FocalKlLossOptions& options) {
  const FocalKlCall call = focal_kl_contract(student_logits, teacher, weight, options, &grad, LossResult::elements);
  dispatch_floating(call.loss.dtype, [&]<typename T>() {
    Walk::template backward<T>(call.loss, typename Walk::template At<T>(call), grad.dim() == 0);
  });
  return call.loss.out;
}

}  // namespace colad
