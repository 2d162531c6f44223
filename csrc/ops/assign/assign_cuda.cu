// split_candidates and cost_statistics on CUDA: one block an object.
//
// A block reads its image's row of `matched` and `cost`. The k cheapest of a level are found in k rounds, each a
// block-wide minimum over the keys above the last one found: no list of candidates is stored, k has no limit, and the
// result does not depend on the order of threads. The few samples are then ranked by counting, fitted by the first
// warp, and scattered.
#include <torch/csrc/stable/library.h>

#include "common/reduce.cuh"
#include "ops/assign/assign.h"
#include "ops/gmm_em/gmm_em_warp.cuh"

namespace colad {
namespace {

constexpr int kBlock = 256;  // threads that scan an image's anchors together; not tuned on a card

// The image whose rows hold `row`: the last one that starts at or before it. Stays in range whatever the offsets say.
__device__ int64_t image_of(const CandidateParams& p, int64_t row) {
  int64_t low = 0, high = p.images - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (p.gt_offsets[middle] <= row) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

struct BlockMoments {
  int64_t count;
  double mean, std;
};

// Count, mean and standard deviation of the costs of an object's candidates among anchors begin..end.
__device__ BlockMoments block_moments(const CandidateParams& p, int64_t image, int64_t row, int64_t begin, int64_t end,
                                      double* scratch) {
  const float* cost = p.cost + image * p.anchor_count;
  double count = 0.0, sum = 0.0;
  for (int64_t a = begin + threadIdx.x; a < end; a += blockDim.x) {
    if (p.is_candidate(image, a, row)) {
      count += 1.0;
      sum += cost[a];
    }
  }
  const int64_t n = static_cast<int64_t>(block_reduce(count, Add{}, 0.0, scratch));
  const double mean = mean_of(block_reduce(sum, Add{}, 0.0, scratch), n);
  double squares = 0.0;
  for (int64_t a = begin + threadIdx.x; a < end; a += blockDim.x) {
    if (p.is_candidate(image, a, row)) {
      squares += (cost[a] - mean) * (cost[a] - mean);
    }
  }
  return {n, mean, std_of(block_reduce(squares, Add{}, 0.0, scratch), n)};
}

// Appends the k cheapest candidates of one level to `keys`; returns how many samples there are then.
__device__ int64_t append_cheapest(const SplitParams& p, int64_t image, int64_t row, int level, uint64_t* keys,
                                   int64_t samples, uint64_t* scratch) {
  const CandidateParams& c = p.candidates;
  const float* cost = c.cost + image * c.anchor_count;
  bool any = false;
  uint64_t last = 0;
  for (int64_t round = 0; round < p.topk; ++round) {
    uint64_t best = kNoSample;
    for (int64_t a = c.level_begin[level] + threadIdx.x; a < c.level_begin[level + 1]; a += blockDim.x) {
      if (c.is_candidate(image, a, row)) {
        const uint64_t key = sample_key(cost[a], a);
        if ((!any || key > last) && key < best) {
          best = key;
        }
      }
    }
    best = block_reduce(best, Min{}, kNoSample, scratch);
    if (best == kNoSample) {
      break;
    }
    if (threadIdx.x == 0) {
      keys[samples] = best;
    }
    ++samples;
    last = best;
    any = true;
  }
  return samples;
}

// Keys are distinct, so the rank of one is how many are smaller.
__device__ void sort_by_rank(const uint64_t* keys, uint64_t* sorted, int64_t samples) {
  for (int64_t i = threadIdx.x; i < samples; i += blockDim.x) {
    int64_t rank = 0;
    for (int64_t j = 0; j < samples; ++j) {
      rank += keys[j] < keys[i];
    }
    sorted[rank] = keys[i];
  }
}

__device__ Peak warp_reduce_peak(Peak peak) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const Peak other{__shfl_xor_sync(kFullMask, peak.log_likelihood, offset),
                     __shfl_xor_sync(kFullMask, peak.position, offset)};
    peak = better_peak(peak, other);
  }
  return peak;
}

// The first warp: fit, split, scatter.
__device__ void split_samples(const SplitParams& p, int64_t image, int64_t row, const uint64_t* sorted, int64_t samples,
                              double* responsibility, const BlockMoments& moments) {
  const int lane = threadIdx.x;
  const auto value = [sorted](int64_t i) { return static_cast<double>(sample_cost(sorted[i])); };
  const EmResult fit = fit_mixture_warp(value, samples, responsibility, p.em);
  const MixtureTerms terms = mixture_terms(fit.mixture);
  Peak peak{0.0, -1};
  for (int64_t i = lane; i < samples; i += kWarp) {
    const ValueScore score = score_value(value(i), terms);
    peak = better_peak(peak, {score.log_likelihood, score.label == 0 ? i : -1});
  }
  peak = warp_reduce_peak(peak);
  int num_pos = 0;
  for (int64_t i = lane; i < samples; i += kWarp) {
    const Fate fate = fate_of(i, score_value(value(i), terms).label, {samples, peak.position}, p.split);
    p.matched[image * p.candidates.anchor_count + sample_anchor(sorted[i])] = outcome(fate, row);
    num_pos += fate == Fate::positive;
  }
  num_pos = warp_reduce(num_pos, Add{});
  if (lane == 0) {
    write_object(p, row, fit.mixture, moments.mean, moments.std, num_pos);
  }
}

__global__ void unclaimed_kernel(const __grid_constant__ SplitParams p) {
  for (int64_t i = thread_index(); i < p.candidates.images * p.candidates.anchor_count; i += thread_count()) {
    p.matched[i] = unclaimed(p.candidates.matched[i]);
  }
}

__global__ void split_kernel(const __grid_constant__ SplitParams p) {
  __shared__ double sum_scratch[kWarp];
  __shared__ uint64_t key_scratch[kWarp];
  for (int64_t row = blockIdx.x; row < p.candidates.objects; row += gridDim.x) {
    const int64_t image = image_of(p.candidates, row);
    uint64_t* keys = p.keys + row * p.capacity;
    uint64_t* sorted = p.sorted + row * p.capacity;
    const BlockMoments moments = block_moments(p.candidates, image, row, 0, p.candidates.anchor_count, sum_scratch);
    int64_t samples = 0;
    for (int level = 0; level < p.candidates.levels; ++level) {
      samples = append_cheapest(p, image, row, level, keys, samples, key_scratch);
    }
    __syncthreads();  // the keys are written by thread 0
    sort_by_rank(keys, sorted, samples);
    __syncthreads();
    if (threadIdx.x < kWarp) {
      split_samples(p, image, row, sorted, samples, p.responsibility + 2 * row * p.capacity, moments);
    }
  }
}

__global__ void statistics_kernel(const __grid_constant__ StatisticsParams p) {
  __shared__ double scratch[kWarp];
  const int levels = p.candidates.levels;
  for (int64_t i = blockIdx.x; i < p.candidates.objects * levels; i += gridDim.x) {
    const int64_t row = i / levels;
    const int level = static_cast<int>(i % levels);
    const BlockMoments moments =
        block_moments(p.candidates, image_of(p.candidates, row), row, p.candidates.level_begin[level],
                      p.candidates.level_begin[level + 1], scratch);
    if (threadIdx.x == 0) {
      p.count[i] = moments.count;
      p.mean[i] = moments.mean;
      p.std[i] = moments.std;
    }
  }
}

unsigned blocks_for(int64_t items) { return grid_for(items, 1); }

SplitTensors split_candidates(const Tensor& cost, const Tensor& matched, const Tensor& gt_offsets, int64_t num_objects,
                              std::vector<int64_t> level_sizes, int64_t topk, bool tied, int64_t max_iter, double tol,
                              double reg_covar, std::string split, bool keep_single, bool keep_without_component0,
                              bool prefix) {
  const SplitCall call = split_contract(cost, matched, gt_offsets, num_objects, level_sizes, topk, tied, max_iter, tol,
                                        reg_covar, split, keep_single, keep_without_component0, prefix,
                                        /*with_scratch=*/true);
  const SplitParams& p = call.params;
  const CudaScope scope(cost);
  const int64_t work = p.candidates.images * p.candidates.anchor_count;
  if (work > 0) {
    launch(unclaimed_kernel, grid_for(work, kBlock), kBlock, 0, scope.stream(), p);
  }
  if (num_objects > 0 && p.candidates.images > 0) {
    launch(split_kernel, blocks_for(num_objects), kBlock, 0, scope.stream(), p);
  }
  return call.outputs();
}

std::tuple<Tensor, Tensor, Tensor> cost_statistics(const Tensor& cost, const Tensor& matched, const Tensor& gt_offsets,
                                                   int64_t num_objects, std::vector<int64_t> level_sizes) {
  const StatisticsCall call = statistics_contract(cost, matched, gt_offsets, num_objects, level_sizes);
  const CandidateParams& c = call.params.candidates;
  if (num_objects > 0 && c.images > 0) {
    const CudaScope scope(cost);
    launch(statistics_kernel, blocks_for(num_objects * c.levels), kBlock, 0, scope.stream(), call.params);
  }
  return {call.count, call.mean, call.std};
}

__global__ void indicator_means_kernel(IndicatorParams p) {
  for (int64_t i = thread_index(); i < p.networks * p.images; i += thread_count()) {
    write_indicator_mean(p, i);
  }
}

Tensor indicator_means(const Tensor& values, const Tensor& gt_offsets) {
  const IndicatorCall call = indicator_contract(values, gt_offsets);
  const int64_t work = call.params.networks * call.params.images;
  if (work > 0) {
    const CudaScope scope(values);
    launch(indicator_means_kernel, grid_for(work, kWarp), kWarp, 0, scope.stream(), call.params);
  }
  return call.means;
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("split_candidates", TORCH_BOX(&colad::split_candidates));
  m.impl("cost_statistics", TORCH_BOX(&colad::cost_statistics));
  m.impl("indicator_means", TORCH_BOX(&colad::indicator_means));
}
