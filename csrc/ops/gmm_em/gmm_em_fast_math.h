// One iteration of gmm_em_math.h, arranged for a warp: few operations depend on one another, and nothing is divided.
//
// The lanes 0..15 belong to component 0, the lanes 16..31 to component 1: their own component. A lane adds up its
// values for both components, hands the sums of the other component to a lane of the other half, and computes the
// M-step of its own component only.
//
//   E-step  With u_k = (x - m_k) sqrt(log2(e) / (2 v_k)), component k has the density 2^(-u_k^2) n_k / sqrt(v_k) at x,
//   up
//           to a factor that is the same for all values, components and iterations, and leaves the differences of the
//           log-likelihood as they are. The nearer component has the smaller |u|. With z = density of the farther one /
//           density of the nearer one, the responsibilities are 1 / (1 + z) and z / (1 + z). The power of 2 in z is not
//           above 1.
//   M-step  The moments of d = x - m_k around the mean before the step are added up in one pass:
//           m' = m + shift,  shift = (sum r d - 10 eps m) / n,  sum r (x - m')^2 = sum r d^2 - shift (2 sum r d - shift
//           sum r) This loses digits where the mean moves by many standard deviations; `cancelled` is then set, and the
//           sum is computed in a second pass.
//
// Results differ from gmm_em_math.h by rounding; python_tests/formulas/test_gmm_em_fast.py says by how much.
// Torch-free.
#pragma once

#include "ops/gmm_em/gmm_em_elementary.h"
#include "ops/gmm_em/gmm_em_math.h"

namespace colad {

constexpr double kTwoLn2 = 1.3862943611198906, kLn2 = 0.6931471805599453;

struct FastComponent {
  double mass, mean, scale;  // n_k, m_k, sqrt(log2(e) / (2 v_k))
};

// Component 0 starts at the smallest value, component 1 at the largest. Both have variance 1 and half of the mass.
COLAD_HD FastComponent fast_start(double extreme, double count) { return {0.5 * count, extreme, 0.8493218002880191}; }

struct FastTerms {
  FastComponent own, other;
  double own_density, other_density;      // at the mean
  double other_over_own, own_over_other;  // quotients of these densities, divided by 2^PowerOf2::kShift
};

COLAD_HD FastTerms fast_terms(const FastComponent& own, const FastComponent& other) {
  const double a = own.mass * own.scale, b = other.mass * other.scale;
  return {own, other, a, b, fast_quotient(b, a) * PowerOf2::kDown, fast_quotient(a, b) * PowerOf2::kDown};
}

struct FastScore {
  double own, other;          // responsibilities
  double own_d, other_d;      // x - m_k
  double density, quadratic;  // the value has the likelihood density * 2^-quadratic
};

COLAD_HD FastScore fast_score(double x, const FastTerms& terms) {
  const double own_d = x - terms.own.mean, other_d = x - terms.other.mean;
  const double own_u = own_d * terms.own.scale, other_u = other_d * terms.other.scale;
  const double t = (own_u - other_u) * (own_u + other_u);
  const bool own_is_far = t > 0.0;
  const double z = (own_is_far ? terms.own_over_other : terms.other_over_own) * fast_exp2_up(-std::fabs(t));
  const double near = fast_reciprocal(1.0 + z), far = z * near;
  const double u = own_is_far ? other_u : own_u;
  const double density = (own_is_far ? terms.other_density : terms.own_density) * (1.0 + z);
  // The logarithm of the density does not keep NaN and infinity, so the quadratic term does.
  return {own_is_far ? far : near, own_is_far ? near : far, own_d, other_d, density, std::fma(density, 0.0, u * u)};
}

struct FastMoments {
  double mass, weighted, first, second;  // sum r, sum r x, sum r d, sum r d^2

  COLAD_HD void add(double r, double x, double d) {
    mass += r;
    weighted += r * x;
    first += r * d;
    second += r * (d * d);
  }
};

struct FastSums {
  FastMoments own, other;
  LogOfProduct density;
  double quadratic;

  // The sums of no value. Adding to -0 is exact whatever the sign of the other number is, so the compiler leaves it
  // out.
  COLAD_HD static FastSums none() {
    return {{-0.0, -0.0, -0.0, -0.0}, {-0.0, -0.0, -0.0, -0.0}, LogOfProduct::one(), -0.0};
  }

  // A lane without a value adds the score of another one with `is_value` false.
  COLAD_HD void add(double x, const FastScore& score, bool is_value) {
    own.add(is_value ? score.own : 0.0, x, score.own_d);
    other.add(is_value ? score.other : 0.0, x, score.other_d);
    density.multiply(is_value ? score.density : 1.0);
    quadratic += is_value ? score.quadratic : 0.0;
  }

  COLAD_HD double log2_likelihood() const { return density.log2() - quadratic; }
};

// The mean log-likelihood that is compared with tol. It is NaN if it is not finite: a value is no number, or the square
// of its distance is too large.
COLAD_HD double fast_mean(double log2_likelihood, double reciprocal_count) {
  return std::fma(log2_likelihood, 0.0, log2_likelihood) * (kLn2 * reciprocal_count);
}

// The M-step of a component, from the moments of all values.
struct FastStep {
  double mass, reciprocal_mass, mean;
  double scatter;  // sum r (x - mean)^2
  bool cancelled;  // `scatter` has lost more than 10 bits
};

COLAD_HD FastStep fast_step(const FastComponent& before, const FastMoments& sums) {
  const double mass = sums.mass + 10.0 * std::numeric_limits<double>::epsilon();
  const double reciprocal = fast_reciprocal(mass);
  const double mean = fast_quotient(sums.weighted, mass, reciprocal);
  const double shift = mean - before.mean;
  const double scatter = std::fma(-shift, std::fma(-shift, sums.mass, 2.0 * sums.first), sums.second);
  return {mass, reciprocal, mean, scatter, scatter * 1024.0 < sums.second};
}

struct FastSpread {
  double variance, scale;
};

// reg_covar is added to scatter / mass.
COLAD_HD FastSpread fast_spread(double scatter, double reciprocal_mass, double reg_covar) {
  return {std::fma(scatter, reciprocal_mass, reg_covar),
          fast_inverse_root(std::fma(scatter, reciprocal_mass * kTwoLn2, reg_covar * kTwoLn2))};
}

}  // namespace colad
