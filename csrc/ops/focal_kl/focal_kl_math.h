// The focal Kullback-Leibler loss of one logit, equation (1) of the LAD paper, and its derivative. Torch-free.
//
//   loss = |p_t - p_s|^gamma * KL,   KL = p_t log(p_t / p_s) + (1 - p_t) log((1 - p_t) / (1 - p_s))
//
// With `smooth` > 0 the weight is ((p_t - p_s)^2 + smooth)^(gamma / 2), as in the official code (1e-6).
//
// Loss and KL do not change when both probabilities are replaced by their complements, so everything is computed on the
// side where p_t <= 1/2: there q = p_t and p_s = sigmoid(x) keep all their digits, for logits of +-1e4 and p_t in {0,
// 1} too.
#pragma once

#include "common/logistic.h"

namespace colad {

template <typename T>
struct FocalKlOptions {
  T gamma, smooth;
};

// Student and teacher on the side where the teacher's probability q is at most 1/2. There
//   KL = softplus(x) + q (level - x) + rest
// with the teacher's logit z as level and -softplus(z) as rest, or log q and (1 - q) log(1 - q): the difference is
// taken first, because level and x are large and close where q is small.
template <typename T>
struct FocalKlSide {
  T x, q, level, rest;
  T sign;  // -1 where the side was changed
};

template <typename T>
COLAD_HD FocalKlSide<T> side_of_logit(T student, T teacher) {
  const T sign = teacher > T(0) ? T(-1) : T(1);
  const T z = sign * teacher;
  const Logistic<T> teacher_side = logistic(z);
  return {sign * student, teacher_side.sigmoid, z, -teacher_side.softplus, sign};
}

template <typename T>
COLAD_HD FocalKlSide<T> side_of_probability(T student, T teacher) {
  const bool change = teacher > T(0.5);
  const T q = change ? T(1) - teacher : teacher, sign = change ? T(-1) : T(1);
  return {sign * student, q, q > T(0) ? std::log(q) : T(0), (T(1) - q) * std::log1p(-q), sign};
}

// r - log1p(r) for |r| <= 0.1, where the difference would cancel.
template <typename T>
COLAD_HD T log1p_remainder(T r) {
  // r^2 (1/2 - r/3 + r^2/4 - ...)
  T sum = T(1) / T(11);
  for (int n = 10; n >= 2; --n) {
    sum = T(1) / T(n) - r * sum;
  }
  return r * r * sum;
}

// Relative difference of the probabilities below which KL is computed by its series.
template <typename T>
COLAD_HD T series_limit() {
  return sizeof(T) == sizeof(double) ? T(0.01) : T(0.1);
}

template <typename T>
COLAD_HD T bernoulli_kl(const FocalKlSide<T>& side, T difference, T softplus_of_student) {
  if (std::fabs(difference) <= series_limit<T>() * side.q) {
    // q (r - log1p(r)) + (1 - q) (r' - log1p(r')): the linear terms cancel exactly, all that is left is positive.
    return side.q == T(0) ? T(0)
                          : side.q * log1p_remainder(difference / side.q) +
                                (T(1) - side.q) * log1p_remainder(-difference / (T(1) - side.q));
  }
  const T linear = side.q == T(0) ? T(0) : side.q * (side.level - side.x);
  return clamp_at_zero(softplus_of_student + linear + side.rest);
}

// base^(gamma / 2) with the usual exponents spared a pow.
template <typename T>
COLAD_HD T half_power(T base, T gamma) {
  if (gamma == T(2)) return base;
  if (gamma == T(1)) return std::sqrt(base);
  if (gamma == T(0)) return T(1);
  return std::pow(base, gamma / T(2));
}

template <typename T>
COLAD_HD T focal_kl_loss(const FocalKlSide<T>& side, const FocalKlOptions<T>& options) {
  const Logistic<T> student = logistic(side.x);
  const T difference = student.sigmoid - side.q;
  return half_power(difference * difference + options.smooth, options.gamma) *
         bernoulli_kl(side, difference, student.softplus);
}

// d loss / d student logit = w (p_s - p_t) + KL dw,  dw = gamma (p_s - p_t) w / base * p_s (1 - p_s). Where base is 0,
// so is KL, and of higher order than any gamma >= 0 could divide it by.
template <typename T>
COLAD_HD T focal_kl_derivative(const FocalKlSide<T>& side, const FocalKlOptions<T>& options) {
  const Logistic<T> student = logistic(side.x);
  const T difference = student.sigmoid - side.q;
  const T base = difference * difference + options.smooth;
  const T weight = half_power(base, options.gamma);
  T derivative = weight * difference;
  if (options.gamma > T(0) && base > T(0)) {
    const T kl_share = bernoulli_kl(side, difference, student.softplus) / base;  // first, so that it cannot overflow
    derivative += options.gamma * difference * weight * kl_share * student.sigmoid * student.complement;
  }
  return side.sign * derivative;
}

}  // namespace colad
