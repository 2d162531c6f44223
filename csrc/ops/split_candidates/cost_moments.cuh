// Mean and standard deviation of an object's costs, as one warp computes them. The keys of a bucket are in any order,
// so the sums must not depend on the order: every value is rounded to a multiple of one small unit, and sums of
// integers are exact. The unit is so small that all values together just fit 62 bits.
#pragma once

#include "common/reduce.cuh"
#include "ops/split_candidates/split_candidates_math.h"

namespace colad {

struct CostMoments {
  int64_t count;
  double mean, std;
};

// The power of two by which `count` values, none larger than `largest` in size, are multiplied and rounded to integers.
__device__ inline double integer_scale(double largest, int64_t count) {
  const int bits = 62 - (64 - __clzll(count));
  return ldexp(1.0, bits - (ilogb(largest) + 1));
}

// The sum of value(i) over the i in 0..n for which keep(i) holds: `count` of them, none larger than `largest` in size.
template <typename Keep, typename Value>
__device__ double order_free_sum(int64_t n, int64_t count, double largest, Keep keep, Value value) {
  if (largest == 0.0) {
    return 0.0;
  }
  const double scale = integer_scale(largest, count);
  long long sum = 0;
  for (int64_t i = threadIdx.x % kWarp; i < n; i += kWarp) {
    sum += keep(i) ? __double2ll_rn(value(i) * scale) : 0;
  }
  return static_cast<double>(warp_reduce(sum, Add{})) / scale;
}

// Of the keys 0..n for which in_range(anchor) holds and whose cost is finite. All lanes of a warp call it.
template <typename InRange>
__device__ CostMoments cost_moments_warp(const uint64_t* keys, int64_t n, InRange in_range) {
  const auto keep = [&](int64_t i) { return keys[i] < kFirstExcluded && in_range(sample_anchor(keys[i])); };
  const auto cost = [&](int64_t i) { return static_cast<double>(sample_cost(keys[i])); };
  int64_t count = 0;
  double smallest = std::numeric_limits<double>::infinity(), largest = -smallest;
  for (int64_t i = threadIdx.x % kWarp; i < n; i += kWarp) {
    if (keep(i)) {
      ++count;
      smallest = fmin(smallest, cost(i));
      largest = fmax(largest, cost(i));
    }
  }
  count = warp_reduce(count, Add{});
  if (count == 0) {
    return {0, mean_of(0.0, 0), std_of(0.0, 0)};
  }
  smallest = warp_reduce(smallest, Min{});
  largest = -warp_reduce(-largest, Min{});
  const double sum = order_free_sum(n, count, largest - smallest, keep, [&](int64_t i) { return cost(i) - smallest; });
  const double mean = smallest + sum / double(count);
  const double apart = fmax(largest - mean, mean - smallest);
  const double squares =
      order_free_sum(n, count, apart * apart, keep, [&](int64_t i) { return (cost(i) - mean) * (cost(i) - mean); });
  return {count, mean, std_of(squares, count)};
}

}  // namespace colad
