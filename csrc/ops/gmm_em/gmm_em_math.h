// A mixture of two one-dimensional Gaussians fitted by expectation-maximisation, with the start, the stopping rule and
// the guards of scikit-learn's GaussianMixture given means_init = (min, max), weights_init = 0.5, precisions_init = 1.
// Torch-free.
//
//   E-step  log r_k(x) = log w_k + log N(x; m_k, v_k) - log p(x),   log p(x) = log sum_k w_k N(x; m_k, v_k)
//   M-step  n_k = sum r_k + 10 eps;  w_k = n_k / sum n;  m_k = sum r_k x / n_k;
//           v_k = sum r_k (x - m_k)^2 / n_k + reg_covar
//   stop    when the mean of log p changes by less than tol (the first change is infinite), when it is NaN, or after
//           max_iter
//
// The variance is computed in a second pass, around the new mean. So no digits cancel where the variance is small
// compared with the mean.
#pragma once

#include <limits>

#include "common/elementary.h"

namespace colad {

constexpr double kLog2Pi = 1.8378770664093454835606594728112;

// In one dimension full, diag and spherical are the same. Tied components share one variance.
enum class Covariance { full, diag, spherical, tied };

struct MixtureOptions {
  Covariance covariance;
  int64_t max_iter;
  double tol, reg_covar;
};

struct Mixture {
  double weight[2], mean[2], variance[2];
};

// Component 0 starts at the smallest value, component 1 at the largest.
COLAD_HD Mixture initial_mixture(double smallest, double largest) {
  return {{0.5, 0.5}, {smallest, largest}, {1.0, 1.0}};
}

// The terms of a mixture that do not depend on the value. They are computed once an iteration.
struct MixtureTerms {
  double constant[2], mean[2], half_precision[2];
};

COLAD_HD MixtureTerms mixture_terms(const Mixture& mixture) {
  MixtureTerms terms;
  for (int k = 0; k < 2; ++k) {
    terms.constant[k] = std::log(mixture.weight[k]) - 0.5 * (kLog2Pi + std::log(mixture.variance[k]));
    terms.mean[k] = mixture.mean[k];
    // A component of variance 0 (reg_covar = 0, equal values) has no density: infinity makes its scores NaN.
    terms.half_precision[k] =
        mixture.variance[k] == 0.0 ? std::numeric_limits<double>::infinity() : 0.5 / mixture.variance[k];
  }
  return terms;
}

struct ValueScore {
  double responsibility[2];
  double log_likelihood;
  int label;  // the more probable component, 0 at a tie
};

COLAD_HD ValueScore score_value(double x, const MixtureTerms& terms) {
  const double d0 = x - terms.mean[0], d1 = x - terms.mean[1];
  const double log0 = terms.constant[0] - d0 * d0 * terms.half_precision[0];
  const double log1 = terms.constant[1] - d1 * d1 * terms.half_precision[1];
  // One exponential is enough: that of the less probable component relative to the other one.
  const bool second = log1 > log0;
  const double top = second ? log1 : log0;
  const double small = exp_nonpositive((second ? log0 : log1) - top);
  const double big_share = 1.0 / (1.0 + small), small_share = small * big_share;
  return {
      {second ? small_share : big_share, second ? big_share : small_share}, top + log1p_unit(small), second ? 1 : 0};
}

// The sums of the first pass of the M-step.
struct MassSums {
  double mass[2], weighted[2], log_likelihood;
};

COLAD_HD void add_mass(MassSums& sums, double x, const ValueScore& score) {
  for (int k = 0; k < 2; ++k) {
    sums.mass[k] += score.responsibility[k];
    sums.weighted[k] += score.responsibility[k] * x;
  }
  sums.log_likelihood += score.log_likelihood;
}

// Sets the weights and means in the M-step, and turns the masses into n_k. The variances need the second pass.
COLAD_HD void update_weights_and_means(Mixture& mixture, MassSums& sums) {
  for (int k = 0; k < 2; ++k) {
    sums.mass[k] += 10.0 * std::numeric_limits<double>::epsilon();
    mixture.mean[k] = sums.weighted[k] / sums.mass[k];
  }
  for (int k = 0; k < 2; ++k) {
    mixture.weight[k] = sums.mass[k] / (sums.mass[0] + sums.mass[1]);
  }
}

COLAD_HD double centred_square(double x, double mean) { return (x - mean) * (x - mean); }

// `scatter[k]` is sum r_k (x - m_k)^2.
COLAD_HD void update_variances(Mixture& mixture, const MassSums& sums, const double scatter[2],
                               const MixtureOptions& options) {
  for (int k = 0; k < 2; ++k) {
    mixture.variance[k] =
        (options.covariance == Covariance::tied ? (scatter[0] + scatter[1]) / (sums.mass[0] + sums.mass[1])
                                                : scatter[k] / sums.mass[k]) +
        options.reg_covar;
  }
}

struct EmResult {
  Mixture mixture;
  int64_t n_iter;
  bool converged;
};

COLAD_HD EmResult empty_fit() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  return {{{nan, nan}, {nan, nan}, {nan, nan}}, 0, false};
}

// Whether to stop: compares the mean log-likelihoods of consecutive iterations.
struct StoppingRule {
  double previous = -std::numeric_limits<double>::infinity();

  COLAD_HD bool stop(double mean_log_likelihood, double tol) {
    const double change = std::fabs(mean_log_likelihood - previous);
    previous = mean_log_likelihood;
    return change < tol;
  }

  // Whether the last mean was NaN. Then all parameters are NaN, and no iteration can change that.
  COLAD_HD bool is_undefined() const { return previous != previous; }
};

}  // namespace colad
