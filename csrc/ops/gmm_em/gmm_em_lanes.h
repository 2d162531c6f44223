// The fit of gmm_em_math.h on the CPU, vectorised over eight lanes. Every sum has eight partial sums, which are added
// in one fixed order, independent of the vector width of the CPU. Torch-free.
#pragma once

#include <vector>

#include "ops/gmm_em/gmm_em_math.h"

namespace colad {

constexpr int64_t kFitLanes = 8;

COLAD_HD double sum_of_fit_lanes(const double (&lane)[kFitLanes]) {
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

// The values of one fit and the results of each value, padded to a multiple of eight. The memory grows to the longest
// fit so far.
class FitBuffer {
 public:
  void resize(int64_t count) {
    count_ = count;
    padded_ = (count + kFitLanes - 1) / kFitLanes * kFitLanes;
    if (static_cast<int64_t>(storage_.size()) < 5 * padded_) {
      storage_.resize(5 * padded_);
    }
  }

  int64_t count() const { return count_; }
  int64_t padded() const { return padded_; }
  double* value() { return storage_.data(); }
  double* responsibility(int k) { return storage_.data() + (k + 1) * padded_; }
  // The results of the finished fit, see score_fit. Labels are 0 and 1.
  double* log_likelihood() { return storage_.data() + 3 * padded_; }
  double* label() { return storage_.data() + 4 * padded_; }

 private:
  int64_t count_ = 0, padded_ = 0;
  std::vector<double> storage_;
};

// Fits the first count() values of `buffer`. If there is no value, the parameters are NaN.
inline EmResult fit_mixture(FitBuffer& buffer, const MixtureOptions& options) {
  const int64_t count = buffer.count(), padded = buffer.padded();
  if (count == 0) {
    return empty_fit();
  }
  double* const value = buffer.value();
  double* const first = buffer.responsibility(0);
  double* const second = buffer.responsibility(1);
  for (int64_t i = count; i < padded; ++i) {
    value[i] = value[0];
  }
  double smallest[kFitLanes], largest[kFitLanes];
  for (int64_t j = 0; j < kFitLanes; ++j) {
    smallest[j] = largest[j] = value[j];
  }
  for (int64_t i = kFitLanes; i < padded; i += kFitLanes) {
    for (int64_t j = 0; j < kFitLanes; ++j) {
      smallest[j] = minimum(smallest[j], value[i + j]);
      largest[j] = maximum(largest[j], value[i + j]);
    }
  }
  for (int64_t j = 1; j < kFitLanes; ++j) {
    smallest[0] = minimum(smallest[0], smallest[j]);
    largest[0] = maximum(largest[0], largest[j]);
  }
  EmResult fit{initial_mixture(smallest[0], largest[0]), 0, false};
  StoppingRule rule;
  while (fit.n_iter < options.max_iter && !fit.converged && !rule.is_undefined()) {
    ++fit.n_iter;
    const MixtureTerms terms = mixture_terms(fit.mixture);
    double mass0[kFitLanes] = {}, mass1[kFitLanes] = {}, weighted0[kFitLanes] = {}, weighted1[kFitLanes] = {};
    double log_likelihood[kFitLanes] = {};
    for (int64_t i = 0; i < padded; i += kFitLanes) {
      for (int64_t j = 0; j < kFitLanes; ++j) {
        const double x = value[i + j];
        const ValueScore score = score_value(x, terms);
        const bool padding = i + j >= count;
        const double r0 = padding ? 0.0 : score.responsibility[0], r1 = padding ? 0.0 : score.responsibility[1];
        first[i + j] = r0;
        second[i + j] = r1;
        mass0[j] += r0;
        mass1[j] += r1;
        weighted0[j] += r0 * x;
        weighted1[j] += r1 * x;
        log_likelihood[j] += padding ? 0.0 : score.log_likelihood;
      }
    }
    MassSums sums{{sum_of_fit_lanes(mass0), sum_of_fit_lanes(mass1)},
                  {sum_of_fit_lanes(weighted0), sum_of_fit_lanes(weighted1)},
                  sum_of_fit_lanes(log_likelihood)};
    update_weights_and_means(fit.mixture, sums);
    double scatter0[kFitLanes] = {}, scatter1[kFitLanes] = {};
    const double mean0 = fit.mixture.mean[0], mean1 = fit.mixture.mean[1];
    for (int64_t i = 0; i < padded; i += kFitLanes) {
      for (int64_t j = 0; j < kFitLanes; ++j) {
        scatter0[j] += first[i + j] * centred_square(value[i + j], mean0);
        scatter1[j] += second[i + j] * centred_square(value[i + j], mean1);
      }
    }
    const double scatter[2] = {sum_of_fit_lanes(scatter0), sum_of_fit_lanes(scatter1)};
    update_variances(fit.mixture, sums, scatter, options);
    fit.converged = rule.stop(sums.log_likelihood / static_cast<double>(count), options.tol);
  }
  return fit;
}

// Writes the responsibilities, log-likelihoods and labels of the values under the fitted mixture.
inline void score_fit(FitBuffer& buffer, const Mixture& mixture) {
  const MixtureTerms terms = mixture_terms(mixture);
  const int64_t padded = buffer.padded();
  const double* const value = buffer.value();
  double* const first = buffer.responsibility(0);
  double* const log_likelihood = buffer.log_likelihood();
  double* const label = buffer.label();
  for (int64_t i = 0; i < padded; ++i) {
    const ValueScore score = score_value(value[i], terms);
    first[i] = score.responsibility[0];
    log_likelihood[i] = score.log_likelihood;
    label[i] = score.label;
  }
}

}  // namespace colad
