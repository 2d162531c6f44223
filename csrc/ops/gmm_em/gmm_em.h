// Contract of gmm_em: the checks, the outputs, and the functions that write a fit to them.
#pragma once

#include <tuple>

#include "common/allocate.h"
#include "common/boxed.h"
#include "common/dispatch.h"
#include "ops/gmm_em/gmm_em_math.h"

namespace colad {

// weights, means, variances, responsibility, labels, log_likelihood, n_iter, converged.
using MixtureTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

struct GmmEmParams {
  const void* values;
  const int64_t *starts, *ends;             // segments that follow one another; values between them are padding
  double *weights, *means, *variances;      // (G, 2)
  double *responsibility, *log_likelihood;  // (N,)
  int64_t *labels, *n_iter;
  bool* converged;
  int64_t segments, count;
  MixtureOptions options;
};

struct GmmEmCall {
  Tensor values, starts, ends, weights, means, variances, responsibility, labels, log_likelihood, n_iter, converged;
  GmmEmParams params;
  ScalarType dtype;

  MixtureTensors outputs() const {
    return {weights, means, variances, responsibility, labels, log_likelihood, n_iter, converged};
  }
};

// The largest max_iter. With tol = 0 every fit runs to max_iter; with this bound it still ends.
constexpr int64_t kMostIterations = 1000000;

inline MixtureOptions mixture_options(std::string_view covariance, int64_t max_iter, double tol, double reg_covar) {
  constexpr Choice<Covariance> kCovariance[] = {{"full", Covariance::full},
                                                {"diag", Covariance::diag},
                                                {"spherical", Covariance::spherical},
                                                {"tied", Covariance::tied}};
  check(max_iter >= 1, "max_iter should be >= 1, got ", max_iter);
  check(max_iter <= kMostIterations, "max_iter should be <= ", kMostIterations, ", got ", max_iter);
  check(tol >= 0, "tol should be >= 0, got ", tol);
  check(reg_covar >= 0, "reg_covar should be >= 0, got ", reg_covar);
  check_finite(reg_covar, "reg_covar");
  return {.covariance = choice(covariance, "covariance", kCovariance),
          .max_iter = max_iter,
          .tol = tol,
          .reg_covar = reg_covar};
}

template <>
inline constexpr auto kMakeOptions<MixtureOptions> = &mixture_options;

inline GmmEmCall gmm_em_contract(const Tensor& values, const Tensor& starts, const Tensor& ends,
                                 const MixtureOptions& options) {
  check_shape(values, "values", {-1}, "(N,)");
  check_floating(values, "values");
  check_shape(starts, "starts", {-1}, "(G,)");
  check_shape(ends, "ends", {starts.size(0)}, "(G,), as starts");
  check_dtype(starts, "starts", ScalarType::Long);
  check_dtype(ends, "ends", ScalarType::Long);
  check_same_device(starts, "starts", values, "values");
  check_same_device(ends, "ends", values, "values");
  GmmEmParams p{};
  p.segments = starts.size(0);
  p.count = values.size(0);
  p.options = options;

  const auto doubles = [&](std::vector<int64_t> sizes) { return new_tensor(values, sizes, ScalarType::Double); };
  const int64_t g = p.segments, n = p.count;
  GmmEmCall call{as_contiguous(values),
                 as_contiguous(starts),
                 as_contiguous(ends),
                 doubles({g, 2}),
                 doubles({g, 2}),
                 doubles({g, 2}),
                 doubles({n}),
                 new_tensor(values, {n}, ScalarType::Long),
                 doubles({n}),
                 new_tensor(values, {g}, ScalarType::Long),
                 new_tensor(values, {g}, ScalarType::Bool),
                 p,
                 values.scalar_type()};
  GmmEmParams& q = call.params;
  q.values = call.values.data_ptr();
  q.starts = static_cast<const int64_t*>(call.starts.data_ptr());
  q.ends = static_cast<const int64_t*>(call.ends.data_ptr());
  q.weights = static_cast<double*>(call.weights.data_ptr());
  q.means = static_cast<double*>(call.means.data_ptr());
  q.variances = static_cast<double*>(call.variances.data_ptr());
  q.responsibility = static_cast<double*>(call.responsibility.data_ptr());
  q.labels = static_cast<int64_t*>(call.labels.data_ptr());
  q.log_likelihood = static_cast<double*>(call.log_likelihood.data_ptr());
  q.n_iter = static_cast<int64_t*>(call.n_iter.data_ptr());
  q.converged = static_cast<bool*>(call.converged.data_ptr());
  return call;
}

// Writes the outputs of a value that belongs to no segment (the padding of a padded batch).
COLAD_HD void write_padding(const GmmEmParams& p, int64_t i) {
  p.responsibility[i] = std::numeric_limits<double>::quiet_NaN();
  p.log_likelihood[i] = std::numeric_limits<double>::quiet_NaN();
  p.labels[i] = -1;
}

COLAD_HD void write_value(const GmmEmParams& p, int64_t i, const ValueScore& score) {
  p.responsibility[i] = score.responsibility[0];
  p.log_likelihood[i] = score.log_likelihood;
  p.labels[i] = score.label;
}

// Writes component k of segment g.
COLAD_HD void write_component(double* weights, double* means, double* variances, int64_t g, int k,
                              const Mixture& mixture) {
  weights[2 * g + k] = mixture.weight[k];
  means[2 * g + k] = mixture.mean[k];
  variances[2 * g + k] = mixture.variance[k];
}

COLAD_HD void write_fit(const GmmEmParams& p, int64_t g, const EmResult& fit) {
  for (int k = 0; k < 2; ++k) {
    write_component(p.weights, p.means, p.variances, g, k, fit.mixture);
  }
  p.n_iter[g] = fit.n_iter;
  p.converged[g] = fit.converged;
}

// The operator. Backend::run(call) fills the outputs.
template <typename Backend>
MixtureTensors gmm_em_op(const Tensor& values, const Tensor& starts, const Tensor& ends,
                         const MixtureOptions& options) {
  const GmmEmCall call = gmm_em_contract(values, starts, ends, options);
  Backend::run(call);
  return call.outputs();
}

}  // namespace colad
