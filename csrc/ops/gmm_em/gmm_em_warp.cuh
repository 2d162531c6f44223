// The fit of gmm_em_math.h by one warp. Lane i processes the values i, i + 32, ... All lanes end with the same mixture.
#pragma once

#include "common/reduce.cuh"
#include "ops/gmm_em/gmm_em_math.h"

namespace colad {

struct NanMin {
  __device__ double operator()(double a, double b) const { return minimum(a, b); }
};

struct NanMax {
  __device__ double operator()(double a, double b) const { return maximum(a, b); }
};

// All 32 lanes call it. `responsibility` is scratch memory for 2 * count values. A lane reads and writes only those of
// its own values.
template <typename Value>
__device__ EmResult fit_mixture_warp(Value value, int64_t count, double* responsibility,
                                     const MixtureOptions& options) {
  if (count == 0) {
    return empty_fit();
  }
  const int lane = threadIdx.x % kWarp;
  double smallest = value(0), largest = smallest;
  for (int64_t i = lane; i < count; i += kWarp) {
    smallest = minimum(smallest, value(i));
    largest = maximum(largest, value(i));
  }
  EmResult fit{initial_mixture(warp_reduce(smallest, NanMin{}), warp_reduce(largest, NanMax{})), 0, false};
  StoppingRule rule;
  while (fit.n_iter < options.max_iter && !fit.converged) {
    ++fit.n_iter;
    const MixtureTerms terms = mixture_terms(fit.mixture);
    MassSums sums{};
    for (int64_t i = lane; i < count; i += kWarp) {
      const ValueScore score = score_value(value(i), terms);
      responsibility[2 * i] = score.responsibility[0];
      responsibility[2 * i + 1] = score.responsibility[1];
      add_mass(sums, value(i), score);
    }
    for (int k = 0; k < 2; ++k) {
      sums.mass[k] = warp_reduce(sums.mass[k], Add{});
      sums.weighted[k] = warp_reduce(sums.weighted[k], Add{});
    }
    sums.log_likelihood = warp_reduce(sums.log_likelihood, Add{});
    update_weights_and_means(fit.mixture, sums);
    double scatter[2] = {0.0, 0.0};
    for (int64_t i = lane; i < count; i += kWarp) {
      for (int k = 0; k < 2; ++k) {
        scatter[k] += responsibility[2 * i + k] * centred_square(value(i), fit.mixture.mean[k]);
      }
    }
    for (int k = 0; k < 2; ++k) {
      scatter[k] = warp_reduce(scatter[k], Add{});
    }
    update_variances(fit.mixture, sums, scatter, options);
    fit.converged = rule.stop(sums.log_likelihood / static_cast<double>(count), options.tol);
  }
  return fit;
}

}  // namespace colad
