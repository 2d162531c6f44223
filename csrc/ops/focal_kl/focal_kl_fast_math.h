// The formulas of focal_kl_math.h in few instructions of a GPU. Torch-free. Math is SingleMath or HalfMath.
//
// With SingleMath the results obey the same bounds as those of focal_kl_math.h. With HalfMath their relative error is
// below 2^-11, half a rounding of float16, for gamma <= 2. For a teacher's probability, whose logit is rounded, it
// grows by (1 + |x|) ((gamma + 3) c + 2 min(c, 10)^2) 2^-22, where c is the condition number of the difference p_s -
// p_t. python_tests/formulas/test_fast_losses.py measures both.
#pragma once

#include "common/fast_elementary.h"
#include "ops/focal_kl/focal_kl_math.h"
#include "ops/losses/loss_pair.h"

namespace colad {

template <typename Math>
struct FastFocalKl {
  // Student and teacher on the side where the teacher's probability is at most 1/2, as FocalKlSide.
  struct Side {
    float x, z, odds;
    float teacher;  // its sign is that of the teacher's logit
  };

  COLAD_HD static Side side_of_logit(float student, float teacher) {
    const float z = -std::fabs(teacher);
    return {negated_if_positive(student, teacher), z, Math::exp_nonpositive(z), teacher};
  }

  COLAD_HD static Side side_of_probability(float student, float teacher) {
    const float above = teacher - 0.5f, q = above > 0.0f ? 1.0f - teacher : teacher;
    const float odds = q * Math::reciprocal(1.0f - q);
    const bool none = odds < 0x1p-126f;  // also if it is not a normal float32
    return {negated_if_positive(student, above), none ? -INFINITY : Math::log_positive(odds), none ? 0.0f : odds,
            above};
  }

  // The difference has the sign that it has for the given probabilities, not for their complements.
  COLAD_HD static FocalKlTerms<float> terms(const Side& side) {
    const float x = side.x, z = side.z, odds = side.odds;
    const float exp_x = Math::exp_nonpositive(-std::fabs(x)), a = 1.0f + exp_x, b = 1.0f + odds;
    const float over_ab = Math::reciprocal(a * b), over_a = over_ab * b, over_b = over_ab * a;
    const float q = odds * over_b, v = q * over_b, other_p = exp_x * over_a, slope = other_p * over_a;
    const float u = x - z, apart = exp_x - odds;
    const bool positive = x > 0.0f, near = std::fabs(u) <= 0.125f;
    // softplus(x) - softplus(z) - q u. For a teacher of probability 0, u is infinite and q u is 0.
    const float softplus = Math::log_ratio_plus(apart * Math::reciprocal(a + b), positive ? x : 0.0f);
    const float far_kl = std::fabs(std::fma(-q, odds == 0.0f ? 0.0f : u, softplus));
    const float skew = std::fma(-2.0f, q, 1.0f);
    float difference, near_kl;
    if constexpr (Math::kForHalfTypes) {
      // Both series of u, with s = u * skew and t = u^2 (1/6 - v):
      //   p_s - p_t = v u (1 + s/2 + t + ...),  KL = v u^2 (1/2 + s/6 + t/4 + ...)
      const float s = u * skew, t = u * u * (1.0f / 6 - v), vu = v * u;
      near_kl = vu * u * std::fma(t, 0.25f, std::fma(s, 1.0f / 6, 0.5f));
      difference = near ? std::fma(vu, std::fma(s, 0.5f, t), vu) : (positive ? over_a : other_p) - q;
    } else {
      const float u2 = u * u, second = 0.5f * v * u2;
      const float odd = std::fma(u2, std::fma(v, -0.2f, 1.0f / 60), 1.0f / 3), even = std::fma(v, -0.5f, 1.0f / 12);
      near_kl = std::fma(second, std::fma(u * skew, odd, u2 * even), second);
      // As in focal_kl_terms, but for x >= 0 both fractions have one denominator.
      difference = (positive ? std::fma(-exp_x, odds, 1.0f) : apart) * over_ab;
    }
    return {negated_if_positive(difference, side.teacher), slope, near ? near_kl : far_kl};
  }

  // `gamma` should be a constant where it can.
  COLAD_HD static LossPair<float> of_terms(const FocalKlTerms<float>& terms, float gamma, float smooth) {
    const float difference = terms.difference, base = std::fma(difference, difference, smooth);
    if (gamma == 0.0f) {
      return {terms.kl, difference};
    }
    if (gamma == 2.0f) {
      return {base * terms.kl, difference * std::fma(terms.kl * terms.slope, 2.0f, base)};
    }
    // A base that is not a normal float32 counts as 0.
    const bool none = base < 0x1p-126f;
    float weight, kl_share;
    if (gamma == 1.0f) {
      weight = Math::root(base);
      kl_share = none ? 0.0f : terms.kl * Math::reciprocal(weight);
    } else {
      weight = none ? 0.0f : Math::power(base, 0.5f * gamma);
      kl_share = none ? 0.0f : terms.kl * Math::reciprocal(base) * weight;
    }
    return {weight * terms.kl, difference * std::fma(gamma * kl_share, terms.slope, weight)};
  }
};

// The same interface for double, with the formulas of focal_kl_math.h.
struct DoubleFocalKl {
  COLAD_HD static FocalKlSide<double> side_of_logit(double student, double teacher) {
    return colad::side_of_logit(student, teacher);
  }
  COLAD_HD static FocalKlSide<double> side_of_probability(double student, double teacher) {
    return colad::side_of_probability(student, teacher);
  }
  COLAD_HD static FocalKlTerms<double> terms(const FocalKlSide<double>& side) {
    FocalKlTerms<double> terms = focal_kl_terms(side);
    terms.difference *= side.sign;
    return terms;
  }
  COLAD_HD static LossPair<double> of_terms(const FocalKlTerms<double>& terms, double gamma, double smooth) {
    const FocalKlOptions<double> options{gamma, smooth};
    return {focal_kl_loss(terms, options), focal_kl_derivative(terms, 1.0, options)};
  }
};

}  // namespace colad
