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

// The loss of one student logit and its teacher.
template <typename C>
struct FocalKlFormula {
  using Side = FocalKlSide<C>;
  FocalKlOptions<C> options;
  bool teacher_is_logits;

  COLAD_HD FocalKlSide<C> side(C x, C target) const {
    return teacher_is_logits ? side_of_logit(x, target) : side_of_probability(x, target);
  }
  COLAD_HD C loss(const FocalKlSide<C>& side) const { return focal_kl_loss(side, options); }
  COLAD_HD C derivative(const FocalKlSide<C>& side) const { return focal_kl_derivative(side, options); }
};

template <typename T>
struct FocalKlAt : FocalKlFormula<compute_t<T>> {
  using C = compute_t<T>;
  using Formula = FocalKlFormula<C>;
  static constexpr bool kTargetOfRow = false;
  Strided student, teacher;

  explicit FocalKlAt(const FocalKlCall& call)
      : Formula{{static_cast<C>(call.options.gamma), static_cast<C>(call.options.smooth)},
                call.options.teacher_is_logits},
        student(call.loss.params.input),
        teacher(call.teacher) {}

  COLAD_HD C logit(const Element& e) const {
    return static_cast<C>(static_cast<const T*>(student.data)[student.at(e)]);
  }
  COLAD_HD C target_at(const Element& e) const {
    return static_cast<C>(static_cast<const T*>(teacher.data)[teacher.at(e)]);
  }

  COLAD_HD C loss(C x, C target) const { return Formula::loss(Formula::side(x, target)); }
  COLAD_HD C derivative(C x, C target) const { return Formula::derivative(Formula::side(x, target)); }
};

// Walk is CpuLoss or CudaLoss.
template <typename Walk>
Tensor focal_kl_loss_op(const Tensor& student_logits, const Tensor& teacher, std::optional<Tensor> weight,
                        std::string_view reduction, const FocalKlLossOptions& options) {
  const LossResult result = loss_result(reduction);
  const FocalKlCall call = focal_kl_contract(student_logits, teacher, weight, options, nullptr, result);
  const bool sum = result == LossResult::sum;
  dispatch_floating(call.loss.dtype,
                    [&]<typename T>() { Walk::template forward<T>(call.loss, FocalKlAt<T>(call), sum); });
  return sum ? call.loss.total : call.loss.out;
}

// Returns the sum, and the gradient of the sum times `grad`. Without `grad` the factor is 1.
template <typename Walk>
std::tuple<Tensor, Tensor> focal_kl_loss_and_gradient_op(const Tensor& student_logits, const Tensor& teacher,
                                                         std::optional<Tensor> weight, std::optional<Tensor> grad,
                                                         const FocalKlLossOptions& options) {
  const FocalKlCall call = focal_kl_contract(student_logits, teacher, weight, options, grad ? &*grad : nullptr,
                                             LossResult::sum_and_gradient);
  dispatch_floating(call.loss.dtype,
                    [&]<typename T>() { Walk::template sum_and_gradient<T>(call.loss, FocalKlAt<T>(call)); });
  return {call.loss.total, call.loss.out};
}

template <typename Walk>
Tensor focal_kl_loss_backward_op(const Tensor& grad, const Tensor& student_logits, const Tensor& teacher,
                                 std::optional<Tensor> weight, const FocalKlLossOptions& options) {
  const FocalKlCall call = focal_kl_contract(student_logits, teacher, weight, options, &grad, LossResult::elements);
  dispatch_floating(call.loss.dtype,
                    [&]<typename T>() { Walk::template backward<T>(call.loss, FocalKlAt<T>(call), grad.dim() == 0); });
  return call.loss.out;
}

}  // namespace colad
