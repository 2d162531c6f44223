// The fit of gmm_em_math.h by one warp, with the formulas of gmm_em_fast_math.h. All lanes end with the same mixture.
//
// A barrier at the beginning, branches on votes, and callers that use warp_in_block() tell the compiler that the lanes
// stay together. Otherwise it prepares each shuffle for lanes that have gone different ways, and the chains of an
// iteration do not overlap.
#pragma once

#include "common/reduce.cuh"
#include "ops/gmm_em/gmm_em_fast_math.h"

namespace colad {

struct NanMin {
  __device__ double operator()(double a, double b) const { return minimum(a, b); }
};

struct NanMax {
  __device__ double operator()(double a, double b) const { return maximum(a, b); }
};

// The values lane, lane + 32, ... of a segment. kRegisters of them are kept in registers. With 0 there may be any
// number of values, and they are read at each visit.
template <int kRegisters, typename Value>
class LaneValues {
 public:
  __device__ LaneValues(Value value, int64_t count) : value_(value), count_(count) {
#pragma unroll
    for (int k = 0; k < kRegisters; ++k) {
      registers_[k] = value(is_value(k) ? index(k) : 0);
    }
  }

  __device__ int64_t count() const { return count_; }

  // Calls visit(x, is_value), equally often in each lane. A lane without a value gets another one's, and `is_value` is
  // false.
  template <typename Visit>
  __device__ void for_each(Visit visit) const {
    if constexpr (kRegisters == 0) {
      for (int64_t begin = 0; begin < count_; begin += kWarp) {
        const int64_t i = begin + threadIdx.x % kWarp;
        visit(value_(i < count_ ? i : 0), i < count_);
      }
    } else {
#pragma unroll
      for (int k = 0; k < kRegisters; ++k) {
        visit(registers_[k], is_value(k));
      }
    }
  }

 private:
  __device__ static int index(int k) { return threadIdx.x % kWarp + k * kWarp; }
  __device__ bool is_value(int k) const { return index(k) < static_cast<int>(count_); }

  Value value_;
  int64_t count_;
  double registers_[kRegisters > 0 ? kRegisters : 1];
};

// The number that a lane of the other component has.
__device__ inline double of_other(double x) { return __shfl_xor_sync(kFullMask, x, kWarp / 2); }

// The sum over all lanes of what they have for this lane's component: `own` in its half, `other` in the other half.
__device__ inline double sum_of_component(double own, double other) {
  own += of_other(other);
#pragma unroll
  for (int offset = kWarp / 4; offset > 0; offset /= 2) {
    own += __shfl_xor_sync(kFullMask, own, offset);
  }
  return own;
}

__device__ inline FastMoments sum_of_component(const FastSums& sums) {
  const FastMoments &own = sums.own, &other = sums.other;
  return {sum_of_component(own.mass, other.mass), sum_of_component(own.weighted, other.weighted),
          sum_of_component(own.first, other.first), sum_of_component(own.second, other.second)};
}

// sum r (x - mean)^2 of the own component, with the responsibilities of `terms`.
template <typename Values>
__device__ double scatter_around(const Values& values, const FastTerms& terms, double own_mean, double other_mean) {
  double own = 0.0, other = 0.0;
  values.for_each([&](double x, bool is_value) {
    const FastScore score = fast_score(x, terms);
    own += is_value ? score.own * centred_square(x, own_mean) : 0.0;
    other += is_value ? score.other * centred_square(x, other_mean) : 0.0;
  });
  return sum_of_component(own, other);
}

template <bool kTied, typename Values>
__device__ EmResult fit_lane_values(const Values& values, const MixtureOptions& options) {
  double smallest = std::numeric_limits<double>::infinity(), largest = -smallest;
  values.for_each([&](double x, bool) {
    smallest = minimum(smallest, x);
    largest = maximum(largest, x);
  });
  smallest = warp_reduce(smallest, NanMin{});
  largest = warp_reduce(largest, NanMax{});

  const bool is_second = threadIdx.x % kWarp >= kWarp / 2;  // this lane belongs to component 1
  const double count = static_cast<double>(values.count()), reciprocal_count = fast_reciprocal(count);
  FastComponent own = fast_start(is_second ? largest : smallest, count);
  FastComponent other = fast_start(is_second ? smallest : largest, count);
  FastSpread spread{1.0, own.scale};
  EmResult fit{};
  StoppingRule rule;
  for (bool last = false; !__any_sync(kFullMask, last);) {
    const FastTerms terms = fast_terms(own, other);
    FastSums sums = FastSums::none();
    values.for_each([&](double x, bool is_value) { sums.add(x, fast_score(x, terms), is_value); });
    const FastStep step = fast_step(own, sum_of_component(sums));
    const double log_likelihood = fast_mean(warp_reduce(sums.log2_likelihood(), Add{}), reciprocal_count);
    const double divisor = kTied ? reciprocal_count : step.reciprocal_mass;
    const auto spread_of = [&](double scatter) {
      return fast_spread(kTied ? scatter + of_other(scatter) : scatter, divisor, options.reg_covar);
    };
    // The branch comes after the chain of the usual case, not into it.
    spread = spread_of(step.scatter);
    if (__any_sync(kFullMask, step.cancelled)) {
      spread = spread_of(scatter_around(values, terms, step.mean, of_other(step.mean)));
    }
    own = {step.mass, step.mean, spread.scale};
    other = {of_other(own.mass), of_other(own.mean), of_other(own.scale)};
    ++fit.n_iter;
    fit.converged = rule.stop(log_likelihood, options.tol);
    last = fit.converged || fit.n_iter >= options.max_iter || rule.is_undefined();
  }
  if (__any_sync(kFullMask, rule.is_undefined())) {
    fit.mixture = empty_fit().mixture;
  } else {
    const double mass = own.mass + other.mass;
    const double own_weight = fast_quotient(own.mass, mass), other_weight = fast_quotient(other.mass, mass);
    const double other_variance = of_other(spread.variance);
    const auto choose = [&](double in_first_half, double in_second_half) {
      return is_second ? in_second_half : in_first_half;
    };
    fit.mixture = {{choose(own_weight, other_weight), choose(other_weight, own_weight)},
                   {choose(own.mean, other.mean), choose(other.mean, own.mean)},
                   {choose(spread.variance, other_variance), choose(other_variance, spread.variance)}};
  }
  return fit;
}

template <bool kTied, typename Value>
__device__ EmResult fit_values(Value value, int64_t count, const MixtureOptions& options) {
  if (count <= kWarp) {
    return fit_lane_values<kTied>(LaneValues<1, Value>(value, count), options);
  }
  if (count <= 2 * kWarp) {
    return fit_lane_values<kTied>(LaneValues<2, Value>(value, count), options);
  }
  return fit_lane_values<kTied>(LaneValues<0, Value>(value, count), options);
}

// Fits value(0), ..., value(count - 1). All 32 lanes call it with the same count.
template <typename Value>
__device__ EmResult fit_mixture_warp(Value value, int64_t count, const MixtureOptions& options) {
  __syncwarp();  // tells the compiler that the lanes are together; the result does not depend on it
  count = __shfl_sync(kFullMask, count, 0);
  if (count == 0) {
    return empty_fit();
  }
  return options.covariance == Covariance::tied ? fit_values<true>(value, count, options)
                                                : fit_values<false>(value, count, options);
}

}  // namespace colad
