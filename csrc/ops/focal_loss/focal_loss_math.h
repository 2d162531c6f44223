// The sigmoid focal loss of one logit (Lin et al. 2017, eq. 5) and its derivative. Torch-free.
//
// Let y = -x for the target class and y = x for the others. Then s = sigmoid(y) is the probability of a wrong answer:
//   loss = a * s^gamma * softplus(y),        a = alpha for the target class, 1 - alpha for the others
//   d loss / d y = a * s^gamma * (gamma * (1 - s) * softplus(y) + s)
#pragma once

#include "common/logistic.h"

namespace colad {

template <typename T>
struct FocalOptions {
  T of_target, of_others;  // weights: alpha and 1 - alpha
  T gamma;

  FocalOptions() = default;
  // alpha < 0: both weights are 1.
  COLAD_HD FocalOptions(T alpha, T gamma)
      : of_target(alpha < T(0) ? T(1) : alpha), of_others(alpha < T(0) ? T(1) : T(1) - alpha), gamma(gamma) {}
};

template <typename T>
COLAD_HD T focal_power(T base, T gamma) {
  if (gamma == T(2)) return base * base;  // the usual case, without a pow
  if (gamma == T(0)) return T(1);
  return std::pow(base, gamma);
}

template <typename T>
COLAD_HD T focal_alpha(bool target, const FocalOptions<T>& options) {
  return target ? options.of_target : options.of_others;
}

template <typename T>
struct FocalLossSide {
  Logistic<T> y;
  T sign;  // d y / d x: -1 for the target class, else 1
};

template <typename T>
COLAD_HD FocalLossSide<T> side_of_class(T logit, bool target) {
  return {logistic(target ? -logit : logit), target ? T(-1) : T(1)};
}

template <typename T>
COLAD_HD T focal_loss(const FocalLossSide<T>& side, const FocalOptions<T>& options) {
  return focal_alpha(side.sign < T(0), options) * focal_power(side.y.sigmoid, options.gamma) * side.y.softplus;
}

template <typename T>
COLAD_HD T focal_loss_derivative(const FocalLossSide<T>& side, const FocalOptions<T>& options) {
  const Logistic<T>& y = side.y;
  return side.sign * (focal_alpha(side.sign < T(0), options) * focal_power(y.sigmoid, options.gamma) *
                      (options.gamma * y.complement * y.softplus + y.sigmoid));
}

template <typename T>
COLAD_HD T focal_loss(T logit, bool target, const FocalOptions<T>& options) {
  return focal_loss(side_of_class(logit, target), options);
}

template <typename T>
COLAD_HD T focal_loss_derivative(T logit, bool target, const FocalOptions<T>& options) {
  return focal_loss_derivative(side_of_class(logit, target), options);
}

// The same loss for a probability instead of a logit. The logarithm is at least -100, as in torch's
// binary_cross_entropy.
template <typename T>
COLAD_HD T focal_loss_of_probability(T probability, bool target, const FocalOptions<T>& options) {
  const T right = target ? probability : T(1) - probability;
  const T log_right = target ? std::log(probability) : std::log1p(-probability);
  return focal_alpha(target, options) * focal_power(T(1) - right, options.gamma) *
         -(log_right < T(-100) ? T(-100) : log_right);
}

}  // namespace colad
