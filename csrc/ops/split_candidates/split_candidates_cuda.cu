// split_candidates and cost_statistics on CUDA: one block an object.
//
// A block reads the matches of its image once. It lists the keys of its object's candidates in shared memory, in any
// order: the keys are distinct, so the choice does not depend on their order. Then each warp finds the k cheapest
// candidates of a level in k rounds. A round is a minimum over the keys that are larger than the last one found. The
// few samples are sorted by counting, and the first warp fits them and writes the results. If an object has more
// candidates than the list can hold, the block reads the anchors again in every round, and takes the minimum over the
// block.
#include "ops/gmm_em/gmm_em_warp.cuh"
#include "ops/split_candidates/cost_statistics.h"
#include "ops/split_candidates/object_candidates.cuh"

namespace colad {
namespace {

// Keys are distinct, so the rank of a key is the number of smaller keys.
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

// Fits the samples, splits them and writes the results. Only the first warp calls this function.
__device__ void split_samples(const SplitParams& p, int64_t image, int64_t row, const uint64_t* sorted, int64_t samples,
                              double* responsibility, const Moments& moments) {
  const int lane = threadIdx.x;
  const auto value = [sorted](int64_t i) { return static_cast<double>(sample_cost(sorted[i])); };
  const EmResult fit = fit_mixture_warp(value, samples, responsibility, p.options.mixture);
  const MixtureTerms terms = mixture_terms(fit.mixture);
  Peak peak{0.0, -1};
  for (int64_t i = lane; i < samples; i += kWarp) {
    const ValueScore score = score_value(value(i), terms);
    peak = better_peak(peak, {score.log_likelihood, score.label == 0 ? i : -1});
  }
  peak = warp_reduce_peak(peak);
  int num_pos = 0;
  for (int64_t i = lane; i < samples; i += kWarp) {
    const Fate fate = fate_of(i, score_value(value(i), terms).label, {samples, peak.position}, p.options);
    p.matched[image * p.candidates.anchor_count + sample_anchor(sorted[i])] = outcome(fate, row);
    num_pos += fate == Fate::positive;
  }
  num_pos = warp_reduce(num_pos, Add{});
  if (lane == 0) {
    const int64_t n = static_cast<int64_t>(moments.count);
    write_object(p, row, fit.mixture, n > 0 ? moments.mean : mean_of(0.0, 0), std_of(moments.squares, n), num_pos);
  }
}

// Writes the anchors that are matched to no object of their image: they stay background or ignored. The block of an
// object writes the anchors matched to it.
__device__ void write_unowned(const SplitParams& p) {
  const CandidateParams& c = p.candidates;
  for (int64_t i = thread_index(); i < c.images * c.anchor_count; i += thread_count()) {
    const int64_t row = c.matched[i];
    const Rows rows = rows_of_image(c.gt_offsets, i / c.anchor_count, c.objects);
    if (row < rows.begin || row >= rows.end) {
      p.matched[i] = unclaimed(row);
    }
  }
}

__global__ void split_kernel(const __grid_constant__ SplitParams p) {
  __shared__ ObjectMemory memory;
  const CandidateParams& c = p.candidates;
  write_unowned(p);
  for (int64_t row = blockIdx.x; row < c.objects; row += gridDim.x) {
    const int64_t image = image_of(c, row);
    const Rows rows = rows_of_image(c.gt_offsets, image, c.objects);
    const bool in_image = row >= rows.begin && row < rows.end;  // false only if the offsets are wrong
    const bool in_shared = p.capacity <= kSamples;
    uint64_t* chosen = in_shared ? memory.chosen : p.keys + row * p.capacity;
    uint64_t* sorted = in_shared ? memory.sorted : p.sorted + row * p.capacity;
    double* responsibility = in_shared ? memory.responsibility : p.responsibility + 2 * row * p.capacity;
    if (threadIdx.x == 0) {
      memory.candidates = memory.samples = 0;
    }
    __syncthreads();
    Moments moments{0.0, 0.0, 0.0};
    for_each_anchor_of_object(c, image, row, 0, in_image ? c.anchor_count : 0, [&](int64_t anchor, float cost) {
      p.matched[image * c.anchor_count + anchor] = kBackground;
      if (is_finite(cost)) {
        moments = merge(moments, {1.0, cost, 0.0});
        const int place = atomicAdd(&memory.candidates, 1);
        if (place < kListed) {
          memory.listed[place] = sample_key(cost, anchor);
        }
      }
    });
    moments = block_merge(moments, memory);  // its barrier completes the list too
    if (memory.candidates <= kListed) {
      for (int level = threadIdx.x / kWarp; level < c.levels; level += kObjectBlock / kWarp) {
        choose_of_list(p, level, memory.candidates, chosen, memory);
      }
    } else {
      for (int level = 0; level < c.levels; ++level) {
        choose_of_anchors(p, image, row, level, chosen, memory);
      }
    }
    __syncthreads();
    const int samples = memory.samples;
    sort_by_rank(chosen, sorted, samples);
    __syncthreads();
    if (threadIdx.x < kWarp) {
      split_samples(p, image, row, sorted, samples, responsibility, moments);
    }
    // No barrier here: until the next barrier only thread 0 writes, to counters that all other threads have read.
  }
}

__global__ void statistics_kernel(const __grid_constant__ StatisticsParams p) {
  __shared__ ObjectMemory memory;
  const int64_t objects = p.candidates.objects, levels = p.candidates.levels;
  for (int64_t i = blockIdx.x; i < p.networks * objects * levels; i += gridDim.x) {
    const CandidateParams c = p.of_network(i / levels / objects);
    const int64_t row = i / levels % objects, level = i % levels;
    Moments moments{0.0, 0.0, 0.0};
    for_each_anchor_of_object(
        c, image_of(c, row), row, c.level_begin[level], c.level_begin[level + 1],
        [&](int64_t, float cost) { moments = is_finite(cost) ? merge(moments, {1.0, cost, 0.0}) : moments; });
    moments = block_merge(moments, memory);
    if (threadIdx.x == 0) {
      const int64_t n = static_cast<int64_t>(moments.count);
      p.count[i] = n;
      p.mean[i] = n > 0 ? moments.mean : mean_of(0.0, 0);
      p.std[i] = std_of(moments.squares, n);
    }
    __syncthreads();  // the next item reuses the memory
  }
}

unsigned blocks_for(int64_t items) { return grid_for(items, 1); }

struct CostStatisticsCuda {
  static void run(const StatisticsCall& call) {
    const CandidateParams& c = call.params.candidates;
    const int64_t work = call.params.networks * c.objects * c.levels;
    if (work > 0) {
      const CudaScope scope(call.costs);
      launch(statistics_kernel, blocks_for(work), kObjectBlock, 0, scope.stream(), call.params);
    }
  }
};

}  // namespace

void SplitCandidatesCuda::run(const SplitCall& call) {
  const CandidateParams& c = call.params.candidates;
  const int64_t anchors = c.images * c.anchor_count;
  if (c.objects > 0 || anchors > 0) {
    const CudaScope scope(call.cost);
    launch(split_kernel, std::max(blocks_for(c.objects), grid_for(anchors, kObjectBlock)), kObjectBlock, 0,
           scope.stream(), call.params);
  }
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("split_candidates", COLAD_BOX(&colad::split_candidates_op<colad::SplitCandidatesCuda>));
  m.impl("cost_statistics", COLAD_BOX(&colad::cost_statistics_op<colad::CostStatisticsCuda>));
}
