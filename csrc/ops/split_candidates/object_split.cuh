// The block of an object fits a mixture to the samples and splits them.
#pragma once

#include "ops/gmm_em/gmm_em_warp.cuh"
#include "ops/split_candidates/cost_moments.cuh"
#include "ops/split_candidates/object_candidates.cuh"

namespace colad {

// The samples of an object, cheapest first.
struct Samples {
  const uint64_t* sorted;
  int count;
  double* responsibility;  // scratch

  __device__ double cost(int64_t i) const { return static_cast<double>(sample_cost(sorted[i])); }
};

// The first warp calls it.
__device__ inline EmResult fit_samples(const Samples& samples, const MixtureOptions& options) {
  return fit_mixture_warp([&](int64_t i) { return samples.cost(i); }, samples.count, samples.responsibility, options);
}

// Chooses the samples of an object. They are in shared memory or, if an object can have too many, in the part `slot` of
// the scratch memory of the call. All threads of the block call it.
__device__ inline Samples samples_of(const SplitParams& p, int64_t slot, const KeyList& list, ObjectMemory& memory) {
  return with_keys(list, memory, [&](const uint64_t* keys) {
    if (p.capacity <= kSamples) {
      const int count = choose_samples(p, keys, list.count, memory.chosen, memory.sorted, memory);
      return Samples{memory.sorted, count, memory.responsibility};
    }
    uint64_t* const sorted = p.sorted + slot * p.capacity;
    const int count = choose_samples(p, keys, list.count, p.keys + slot * p.capacity, sorted, memory);
    return Samples{sorted, count, p.responsibility + 2 * slot * p.capacity};
  });
}

__device__ inline Peak warp_reduce_peak(Peak peak) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const Peak other{__shfl_xor_sync(kFullMask, peak.log_likelihood, offset),
                     __shfl_xor_sync(kFullMask, peak.position, offset)};
    peak = better_peak(peak, other);
  }
  return peak;
}

// Fits and splits the samples, and writes their matches and the results of the object. `first` is the first anchor of
// the image, of (images, anchors). The first warp calls it.
__device__ inline void split_samples(const SplitParams& p, int64_t first, int64_t row, const Samples& samples) {
  const int lane = threadIdx.x;
  const EmResult fit = fit_samples(samples, p.options.mixture);
  const MixtureTerms terms = mixture_terms(fit.mixture);
  Peak peak{0.0, -1};
  for (int64_t i = lane; i < samples.count; i += kWarp) {
    const ValueScore score = score_value(samples.cost(i), terms);
    peak = better_peak(peak, {score.log_likelihood, score.label == 0 ? i : -1});
  }
  peak = warp_reduce_peak(peak);
  int num_pos = 0;
  for (int64_t i = lane; i < samples.count; i += kWarp) {
    const int label = score_value(samples.cost(i), terms).label;
    const Fate fate = fate_of(i, label, {samples.count, peak.position}, p.options);
    p.matched[first + sample_anchor(samples.sorted[i])] = outcome(fate, row);
    num_pos += fate == Fate::positive;
  }
  num_pos = warp_reduce(num_pos, Add{});
  if (lane == 0) {
    for (int k = 0; k < 2; ++k) {
      write_component(p.weights, p.means, p.variances, row, k, fit.mixture);
    }
    p.num_pos[row] = num_pos;
  }
}

// Splits the candidates of an object: the first warp fits the samples, and the second one meanwhile computes mean and
// standard deviation of all costs. The matches of the candidates are already background. All threads of the block call
// it.
__device__ inline void split_object(const SplitParams& p, int64_t row, const KeyList& list, ObjectMemory& memory) {
  const Samples samples = samples_of(p, row, list, memory);
  if (threadIdx.x < kWarp) {
    split_samples(p, list.first, row, samples);
  } else if (threadIdx.x < 2 * kWarp) {
    const CostMoments moments = with_keys(list, memory, [&](const uint64_t* keys) {
      return cost_moments_warp(keys, list.count, [](int64_t) { return true; });
    });
    if (threadIdx.x == kWarp) {
      p.mean[row] = moments.mean;
      p.std[row] = moments.std;
    }
  }
  __syncthreads();  // the next object reuses the memory
}

}  // namespace colad
