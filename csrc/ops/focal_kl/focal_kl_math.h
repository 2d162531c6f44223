// The focal Kullback-Leibler loss of one logit, equation (1) of the LAD paper, and its derivative. Torch-free.
//
//   loss = |p_t - p_s|^gamma * KL,   KL = p_t log(p_t / p_s) + (1 - p_t) log((1 - p_t) / (1 - p_s))
//
// With `smooth` > 0 the weight is ((p_t - p_s)^2 + smooth)^(gamma / 2), as in the official code (1e-6).
//
// Loss and KL do not change if both probabilities are replaced by their complements. So everything is computed on the
// side where the teacher's probability is at most 1/2. There q = p_t and p_s = sigmoid(x) keep all their digits, also
// for logits of +-1e4 and for p_t in {0, 1}.
#pragma once

#include "common/logistic.h"

namespace colad {

template <typename T>
struct FocalKlOptions {
  T gamma, smooth;
};

// Student and teacher on the side where the teacher's probability is at most 1/2. The fields are the values that need
// an exponential or a logarithm.
template <typename T>
struct FocalKlSide {
  T x, exp_x;  // the student's logit, exp(-|x|)
  T z, odds;   // the teacher's logit, exp(z) <= 1
  T sign;      // -1 if the probabilities were replaced by their complements, else 1
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

// KL of teacher logit z and student logit z + u, for |u| <= series_limit. It is the series of the cumulants, from the
// second on, times u^n / n!, of a Bernoulli variable with probability q: its variance is v, its skew comes from w = 1 -
// 2 q. The omitted terms are smaller than a few rounding errors.
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
  // For x < 0 both probabilities may be small. Their difference comes from the exponentials, before any division rounds
  // them. For x >= 0, p_s is the larger one.
  const T apart = side.exp_x - side.odds;
  const T difference = side.x >= T(0) ? over_a - q : apart * (over_a * over_b);
  // softplus(x) - softplus(z) + q (z - x), where softplus(x) is max(x, 0) + log(1 + exp(-|x|)).
  const T softplus = (side.x >= T(0) ? side.x : T(0)) + log_ratio(apart / (a + b));
  const T far = std::fabs(softplus - (side.odds == T(0) ? T(0) : q * u));
  const T near = bernoulli_kl_series(u, T(1) - (q + q), v);
  return {difference, side.exp_x * over_a * over_a, std::fabs(u) <= series_limit<T>() ? near : far};
}

// base^(gamma / 2). The usual exponents need no pow.
template <typename T>
COLAD_HD T half_power(T base, T gamma) {
  if (gamma == T(2)) return base;
  if (gamma == T(1)) return std::sqrt(base);
  if (gamma == T(0)) return T(1);
  return std::pow(base, gamma / T(2));
}

template <typename T>
COLAD_HD T focal_kl_loss(const FocalKlTerms<T>& terms, const FocalKlOptions<T>& options) {
  return half_power(terms.difference * terms.difference + options.smooth, options.gamma) * terms.kl;
}

// d loss / d student logit = w (p_s - p_t) + KL dw,  dw = gamma (p_s - p_t) w / base * p_s (1 - p_s). If base is 0, KL
// is 0 too, and of higher order: for every gamma >= 0 the second term is 0. `sign` is that of the side.
template <typename T>
COLAD_HD T focal_kl_derivative(const FocalKlTerms<T>& terms, T sign, const FocalKlOptions<T>& options) {
  const T difference = terms.difference, base = difference * difference + options.smooth;
  const T weight = half_power(base, options.gamma);
  if (options.gamma == T(0)) {
    return sign * difference;
  }
  // KL / base comes first: this order cannot overflow. With gamma 2 the weight equals base.
  const T kl_share = options.gamma == T(2) ? terms.kl : (base > T(0) ? terms.kl / base : T(0)) * weight;
  return sign * difference * (weight + options.gamma * kl_share * terms.slope);
}

template <typename T>
COLAD_HD T focal_kl_loss(const FocalKlSide<T>& side, const FocalKlOptions<T>& options) {
  return focal_kl_loss(focal_kl_terms(side), options);
}

template <typename T>
COLAD_HD T focal_kl_derivative(const FocalKlSide<T>& side, const FocalKlOptions<T>& options) {
  return focal_kl_derivative(focal_kl_terms(side), side.sign, options);
}

}  // namespace colad
