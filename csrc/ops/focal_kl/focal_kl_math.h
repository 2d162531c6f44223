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

// Student and teacher on the side where the teacher's probability is at most 1/2: what takes an exponential or a
// logarithm each.
template <typename T>
struct FocalKlSide {
  T x, exp_x;  // the student's logit, exp(-|x|)
  T z, odds;   // the teacher's logit, exp(z) <= 1
  T sign;      // -1 where the side was changed
};

template <typename T>
COLAD_HD FocalKlSide<T> side_of_logit(T student, T teacher) {
  const T sign = teacher > T(0) ? T(-1) : T(1), z = -std::fabs(teacher);
  return {sign * student, exp_nonpositive(-std::fabs(student)), z, exp_nonpositive(z), sign};
}

template <typename T>
COLAD_HD FocalKlSide<T> side_of_probability(T student, T teacher) {
  const T sign = teacher > T(0.5) ? T(-1) : T(1), q = teacher > T(0.5) ? T(1) - teacher : teacher;
  const T odds = q / (T(1) - q);
  return {sign * student, exp_nonpositive(-std::fabs(student)), odds == T(0) ? T(-INFINITY) : log_positive(odds), odds,
          sign};
}

// KL of teacher and student logits z and z + u for |u| <= series_limit: the cumulants of a yes or no of variance v,
// skewed by w = 1 - 2 q, times u^n / n!, from the second on. What is left out is below a few roundings.
template <typename T>
COLAD_HD T series_limit() {
  return sizeof(T) == sizeof(double) ? T(0.025) : T(0.125);
}

COLAD_HD float bernoulli_kl_series(float u, float w, float v) {
  const float u2 = u * u;
  const float odd = 1.0f / 3 + u2 * (1.0f / 60 - 0.2f * v), even = 1.0f / 12 - 0.5f * v;
  return 0.5f * v * u2 * (1.0f + (u * w * odd + u2 * even));
}

COLAD_HD double bernoulli_kl_series(double u, double w, double v) {
  const double u2 = u * u;
  const double odd = horner(u2, 1.0 / 3, 1.0 / 60 - v / 5, horner(v, 1.0 / 2520, -1.0 / 42, 1.0 / 7));
  const double even = horner(u2, 1.0 / 12 - v / 2, horner(v, 1.0 / 360, -1.0 / 12, 1.0 / 3),
                             horner(v, 1.0 / 20160, -1.0 / 160, 1.0 / 12, -1.0 / 4));
  return 0.5 * v * u2 * (1.0 + (u * w * odd + u2 * even));
}

template <typename T>
struct FocalKlTerms {
  T difference;  // p_s - p_t
  T slope;       // p_s (1 - p_s)
  T kl;
};

template <typename T>
COLAD_HD FocalKlTerms<T> focal_kl_terms(const FocalKlSide<T>& side) {
  const T a = T(1) + side.exp_x, b = T(1) + side.odds, over_a = T(1) / a, over_b = T(1) / b;
  const T q = side.odds * over_b, v = q * over_b, u = side.x - side.z;
  // From what was not rounded yet where both are small; else p_s is the larger part.
  const T apart = side.exp_x - side.odds;
  const T difference = side.x >= T(0) ? over_a - q : apart * (over_a * over_b);
  // softplus(x) - softplus(z) + q (z - x), where softplus(x) is max(x, 0) + log(1 + exp(-|x|)).
  const T softplus = (side.x >= T(0) ? side.x : T(0)) + log_ratio(apart / (a + b));
  const T far = std::fabs(softplus - (side.odds == T(0) ? T(0) : q * u));
  const T near = bernoulli_kl_series(u, T(1) - (q + q), v);
  return {difference, side.exp_x * over_a * over_a, std::fabs(u) <= series_limit<T>() ? near : far};
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
  const FocalKlTerms<T> terms = focal_kl_terms(side);
  return half_power(terms.difference * terms.difference + options.smooth, options.gamma) * terms.kl;
}

// d loss / d student logit = w (p_s - p_t) + KL dw,  dw = gamma (p_s - p_t) w / base * p_s (1 - p_s). Where base is 0,
// so is KL, and of higher order than any gamma >= 0 could divide it by.
template <typename T>
COLAD_HD T focal_kl_derivative(const FocalKlSide<T>& side, const FocalKlOptions<T>& options) {
  const FocalKlTerms<T> terms = focal_kl_terms(side);
  const T difference = terms.difference, base = difference * difference + options.smooth;
  const T weight = half_power(base, options.gamma);
  if (options.gamma == T(0)) {
    return side.sign * difference;
  }
  // First KL / base, so that it cannot overflow; with gamma 2 the weight is base.
  const T kl_share = options.gamma == T(2) ? terms.kl : (base > T(0) ? terms.kl / base : T(0)) * weight;
  return side.sign * difference * (weight + options.gamma * kl_share * terms.slope);
}

}  // namespace colad
