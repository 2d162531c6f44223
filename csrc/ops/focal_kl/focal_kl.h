// Contract of focal_kl_loss, and its value and derivative at one element, and the operators over a backend's way of
// walking elements.
#pragma once

#include "common/loss_layout.h"
#include "ops/focal_kl/focal_kl_math.h"

namespace colad {

struct FocalKlCall {
  LossCall loss;
  Strided teacher;
  double gamma, smooth;
  bool teacher_is_logits;
};

inline FocalKlCall focal_kl_contract(const Tensor& student_logits, const Tensor& teacher,
                                     const std::optional<Tensor>& weight, double gamma, bool teacher_is_logits,
                                     double smooth, const Tensor* grad, bool sum) {
  check(student_logits.dim() >= 1, "student_logits should have shape (..., C), got ", shape_of(student_logits));
  const auto sizes = student_logits.sizes();
  check_shape(teacher, "teacher", {sizes.begin(), sizes.end()}, "of student_logits");
  check_same_dtype(teacher, "teacher", student_logits, "student_logits");
  check_same_device(teacher, "teacher", student_logits, "student_logits");
  check(gamma >= 0, "gamma should be >= 0, got ", gamma);
  check_finite(gamma, "gamma");
  check(smooth >= 0, "smooth should be >= 0, got ", smooth);
  check_finite(smooth, "smooth");
  return {loss_contract(student_logits, "student_logits", weight, grad, sum), strided(teacher), gamma, smooth,
          teacher_is_logits};
}

template <typename T>
struct FocalKlAt {
  using C = compute_t<T>;
  static constexpr bool kTargetOfRow = false;
  Strided student, teacher;
  FocalKlOptions<C> options;
  bool teacher_is_logits;

  explicit FocalKlAt(const FocalKlCall& call)
      : student(call.loss.params.input),
        teacher(call.teacher),
        options{static_cast<C>(call.gamma), static_cast<C>(call.smooth)},
        teacher_is_logits(call.teacher_is_logits) {}

  COLAD_HD C logit(const Element& e) const {
    return static_cast<C>(static_cast<const T*>(student.data)[student.at(e)]);
  }
  COLAD_HD C target_at(const Element& e) const {
    return static_cast<C>(static_cast<const T*>(teacher.data)[teacher.at(e)]);
  }

  COLAD_HD FocalKlSide<C> side(C x, C target) const {
    return teacher_is_logits ? side_of_logit(x, target) : side_of_probability(x, target);
  }
  COLAD_HD C loss(C x, C target) const { return focal_kl_loss(side(x, target), options); }
  COLAD_HD C derivative(C x, C target) const { return focal_kl_derivative(side(x, target), options); }
};

// Walk is CpuLoss or CudaLoss.
template <typename Walk>
Tensor focal_kl_loss_op(const Tensor& student_logits, const Tensor& teacher, std::optional<Tensor> weight, double gamma,
                        bool teacher_is_logits, double smooth, bool sum) {
  const FocalKlCall call =
      focal_kl_contract(student_logits, teacher, weight, gamma, teacher_is_logits, smooth, nullptr, sum);
  COLAD_DISPATCH_FLOATING(call.loss.dtype, Walk::template forward<scalar_t>(call.loss, FocalKlAt<scalar_t>(call), sum));
  return call.loss.out;
}

template <typename Walk>
Tensor focal_kl_loss_backward_op(const Tensor& grad, const Tensor& student_logits, const Tensor& teacher,
                                 std::optional<Tensor> weight, double gamma, bool teacher_is_logits, double smooth) {
  const FocalKlCall call =
      focal_kl_contract(student_logits, teacher, weight, gamma, teacher_is_logits, smooth, &grad, /*sum=*/false);
  COLAD_DISPATCH_FLOATING(call.loss.dtype,
                          Walk::template backward<scalar_t>(call.loss, FocalKlAt<scalar_t>(call), grad.dim() == 0));
  return call.loss.out;
}

}  // namespace colad
