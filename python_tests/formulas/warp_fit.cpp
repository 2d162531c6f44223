// The fit of csrc/ops/gmm_em/gmm_em_warp.cuh on the host, for millions of segments: what a lane does is a loop over the
// 32 lanes here, and a shuffle reads the array of another lane. The formulas are those of the kernel. Results are equal
// bit for bit to those of the emulated kernel (python_tests/simt/test_warp_fit.py). Tests only.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>

#include "ops/gmm_em/gmm_em_fast_math.h"

namespace py = pybind11;
using namespace colad;

namespace {

constexpr int kLanes = 32, kHalf = kLanes / 2;
using Lanes = std::array<double, kLanes>;

// The sums of all lanes, for their own and for the other component.
struct LaneSums {
  Lanes mass[2], weighted[2], first[2], second[2], mantissa, quadratic;
  std::array<int64_t, kLanes> exponent;

  FastMoments load(int lane, int k) const {
    return {mass[k][lane], weighted[k][lane], first[k][lane], second[k][lane]};
  }

  FastSums load(int lane) const {
    return {load(lane, 0), load(lane, 1), {mantissa[lane], exponent[lane]}, quadratic[lane]};
  }

  void store(int lane, int k, const FastMoments& moments) {
    mass[k][lane] = moments.mass, weighted[k][lane] = moments.weighted;
    first[k][lane] = moments.first, second[k][lane] = moments.second;
  }

  void store(int lane, const FastSums& sums) {
    store(lane, 0, sums.own);
    store(lane, 1, sums.other);
    mantissa[lane] = sums.density.mantissa, exponent[lane] = sums.density.exponent, quadratic[lane] = sums.quadratic;
  }
};

double warp_sum(Lanes x) {
  for (int offset = kHalf; offset > 0; offset /= 2) {
    Lanes sum;
    for (int lane = 0; lane < kLanes; ++lane) {
      sum[lane] = x[lane] + x[lane ^ offset];
    }
    x = sum;
  }
  return x[0];
}

// The sums over the lanes of both components.
std::array<double, 2> sums_of_components(const Lanes (&own_and_other)[2]) {
  Lanes x;
  for (int lane = 0; lane < kLanes; ++lane) {
    x[lane] = own_and_other[0][lane] + own_and_other[1][lane ^ kHalf];
  }
  for (int offset = kHalf / 2; offset > 0; offset /= 2) {
    Lanes sum;
    for (int lane = 0; lane < kLanes; ++lane) {
      sum[lane] = x[lane] + x[lane ^ offset];
    }
    x = sum;
  }
  return {x[0], x[kHalf]};
}

class WarpFit {
 public:
  WarpFit(const double* values, int64_t count, const MixtureOptions& options)
      : values_(values), count_(count), options_(options) {}

  EmResult fit() {
    if (count_ == 0) {
      return empty_fit();
    }
    double smallest = values_[0], largest = values_[0];
    for (int64_t i = 1; i < count_; ++i) {
      smallest = minimum(smallest, values_[i]);
      largest = maximum(largest, values_[i]);
    }
    const double count = static_cast<double>(count_), reciprocal_count = fast_reciprocal(count);
    FastComponent c[2] = {fast_start(smallest, count), fast_start(largest, count)};
    FastSpread spread[2] = {{1.0, c[0].scale}, {1.0, c[1].scale}};
    EmResult fit{};
    StoppingRule rule;
    const bool tied = options_.covariance == Covariance::tied;
    for (bool last = false; !last;) {
      const FastTerms terms[2] = {fast_terms(c[0], c[1]), fast_terms(c[1], c[0])};
      add_values(terms);
      const auto mass = sums_of_components(sums_.mass), weighted = sums_of_components(sums_.weighted),
                 first = sums_of_components(sums_.first), second = sums_of_components(sums_.second);
      Lanes log2_likelihood;
      for (int lane = 0; lane < kLanes; ++lane) {
        log2_likelihood[lane] = sums_.load(lane).log2_likelihood();
      }
      const double log_likelihood = fast_mean(warp_sum(log2_likelihood), reciprocal_count);
      FastStep step[2];
      for (int k = 0; k < 2; ++k) {
        step[k] = fast_step(c[k], {mass[k], weighted[k], first[k], second[k]});
      }
      std::array<double, 2> scatter{step[0].scatter, step[1].scatter};
      if (step[0].cancelled || step[1].cancelled) {
        ++second_passes;
        scatter = scatter_around(terms, step[0].mean, step[1].mean);
      }
      for (int k = 0; k < 2; ++k) {
        spread[k] = fast_spread(tied ? scatter[k] + scatter[1 - k] : scatter[k],
                                tied ? reciprocal_count : step[k].reciprocal_mass, options_.reg_covar);
        c[k] = {step[k].mass, step[k].mean, spread[k].scale};
      }
      ++fit.n_iter;
      fit.converged = rule.stop(log_likelihood, options_.tol);
      last = fit.converged || fit.n_iter >= options_.max_iter || rule.is_undefined();
    }
    const double mass = c[0].mass + c[1].mass;
    fit.mixture = rule.is_undefined() ? empty_fit().mixture
                                      : Mixture{{fast_quotient(c[0].mass, mass), fast_quotient(c[1].mass, mass)},
                                                {c[0].mean, c[1].mean},
                                                {spread[0].variance, spread[1].variance}};
    return fit;
  }

  static inline int64_t second_passes = 0;

 private:
  // The kernel calls this for all lanes at once.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (int64_t begin = 0; begin < count_; begin += kLanes) {
      double x[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) {
        x[lane] = values_[begin + lane < count_ ? begin + lane : 0];
      }
      for (int half = 0; half < 2; ++half) {
#pragma GCC ivdep
        for (int lane = half * kHalf; lane < (half + 1) * kHalf; ++lane) {
          visit(half, lane, x[lane], begin + lane < count_);
        }
      }
    }
  }

  void add_values(const FastTerms (&terms)[2]) {
    for (int lane = 0; lane < kLanes; ++lane) {
      sums_.store(lane, FastSums::none());
    }
    for_each([&](int half, int lane, double x, bool is_value) {
      FastSums sums = sums_.load(lane);
      sums.add(x, fast_score(x, terms[half]), is_value);
      sums_.store(lane, sums);
    });
  }

  std::array<double, 2> scatter_around(const FastTerms (&terms)[2], double mean0, double mean1) const {
    Lanes scatter[2] = {};
    for_each([&](int half, int lane, double x, bool is_value) {
      const FastScore score = fast_score(x, terms[half]);
      scatter[0][lane] += is_value ? score.own * centred_square(x, half == 0 ? mean0 : mean1) : 0.0;
      scatter[1][lane] += is_value ? score.other * centred_square(x, half == 0 ? mean1 : mean0) : 0.0;
    });
    return sums_of_components(scatter);
  }

  const double* values_;
  int64_t count_;
  const MixtureOptions& options_;
  LaneSums sums_;
};

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

// Fits the segments values[offsets[g]:offsets[g + 1]]. Returns what the operator returns: weights, means, variances,
// responsibility, labels, log_likelihood, n_iter, converged.
py::tuple fit_segments(const Array<double>& values, const Array<int64_t>& offsets, bool tied, int64_t max_iter,
                       double tol, double reg_covar) {
  const int64_t segments = offsets.size() - 1, n = values.size();
  const MixtureOptions options{tied ? Covariance::tied : Covariance::full, max_iter, tol, reg_covar};
  Array<double> weights({segments, int64_t(2)}), means({segments, int64_t(2)}), variances({segments, int64_t(2)});
  Array<double> responsibility(n), log_likelihood(n);
  Array<int64_t> labels(n), n_iter(segments);
  Array<bool> converged(segments);
  for (int64_t g = 0; g < segments; ++g) {
    const int64_t begin = offsets.at(g), end = offsets.at(g + 1);
    const EmResult fit = WarpFit(values.data() + begin, end - begin, options).fit();
    for (int k = 0; k < 2; ++k) {
      weights.mutable_at(g, k) = fit.mixture.weight[k];
      means.mutable_at(g, k) = fit.mixture.mean[k];
      variances.mutable_at(g, k) = fit.mixture.variance[k];
    }
    n_iter.mutable_at(g) = fit.n_iter;
    converged.mutable_at(g) = fit.converged;
    const MixtureTerms terms = mixture_terms(fit.mixture);
    for (int64_t i = begin; i < end; ++i) {
      const ValueScore score = score_value(values.at(i), terms);
      responsibility.mutable_at(i) = score.responsibility[0];
      log_likelihood.mutable_at(i) = score.log_likelihood;
      labels.mutable_at(i) = score.label;
    }
  }
  return py::make_tuple(weights, means, variances, responsibility, labels, log_likelihood, n_iter, converged);
}

}  // namespace

PYBIND11_MODULE(colad_warp_fit, m) {
  m.def("fit_segments", &fit_segments, py::arg("values"), py::arg("offsets"), py::arg("tied") = false,
        py::arg("max_iter") = 100, py::arg("tol") = 1e-3, py::arg("reg_covar") = 1e-6);
  m.def("second_passes", [] { return WarpFit::second_passes; });
  m.def("reciprocal", py::vectorize([](double x) { return fast_reciprocal(x); }));
  m.def("inverse_root", py::vectorize([](double x) { return fast_inverse_root(x); }));
  m.def("quotient", py::vectorize([](double a, double b) { return fast_quotient(a, b); }));
  m.def("exp2_up", py::vectorize([](double t) { return fast_exp2_up(t); }));
  m.def("log2_of_product", [](const Array<double>& factors) {
    LogOfProduct product = LogOfProduct::one();
    for (int64_t i = 0; i < factors.size(); ++i) {
      product.multiply(factors.at(i));
    }
    return product.log2();
  });
}
