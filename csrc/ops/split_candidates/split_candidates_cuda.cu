// split_candidates and cost_statistics on CUDA. Two kernels bucket the candidates by object; then an object has one
// block.
#include "ops/match_anchors/candidate_lists.cuh"
#include "ops/split_candidates/candidate_keys.cuh"
#include "ops/split_candidates/cost_statistics.h"
#include "ops/split_candidates/object_split.cuh"

namespace colad {
namespace {

// Lists the anchors that are matched to an object of their image. `matched`: where the matches of all anchors are
// written as they are before an object makes an anchor positive; may be null.
__global__ void list_kernel(const __grid_constant__ CandidateParams p, const __grid_constant__ CandidateBuckets buckets,
                            int64_t* matched) {
  __shared__ int32_t scratch[kObjectBlock / kWarp];
  const int64_t count = p.images * p.anchor_count;
  for (int64_t begin = int64_t(blockIdx.x) * kObjectBlock; begin < count; begin += thread_count()) {
    const int64_t i = begin + threadIdx.x;
    int64_t row = kBackground;
    if (i < count) {
      row = p.matched[i];
      if (matched != nullptr) {
        matched[i] = unclaimed(row);
      }
      if (row >= p.objects || (row >= 0 && image_of_row(p.gt_offsets, p.images, row) != i / p.anchor_count)) {
        row = kBackground;
      }
    }
    list_anchor(buckets, i, row);
  }
  begin_buckets<kObjectBlock>(buckets, scratch);
}

// Writes the keys of all networks to the buckets. `costs` is (networks, images, anchors).
__global__ void key_kernel(const __grid_constant__ CandidateBuckets buckets, const float* costs) {
  const int64_t listed = *buckets.listed_count;
  for (int64_t i = thread_index(); i < buckets.networks * listed; i += thread_count()) {
    const int network = static_cast<int>(i / listed);
    const ListedAnchor at = buckets.listed[i % listed];
    write_key(buckets, network, at, costs[network * buckets.places() + at.index]);
  }
}

__global__ void split_kernel(const __grid_constant__ SplitParams p, const __grid_constant__ CandidateBuckets buckets) {
  __shared__ ObjectMemory memory;
  wait_for_previous_kernel();
  for (int64_t row = blockIdx.x; row < p.candidates.objects; row += gridDim.x) {
    const KeyList list = read_bucket(
        buckets, row, buckets.keys, [&](int64_t place) { return buckets.keys[place]; },
        [&](int64_t index, int64_t) { p.matched[index] = kBackground; }, memory);
    split_object(p, row, list, memory);
  }
}

// One warp a network, object and level.
__global__ void statistics_kernel(const __grid_constant__ StatisticsParams p,
                                  const __grid_constant__ CandidateBuckets buckets) {
  const int64_t levels = p.candidates.levels, objects = p.candidates.objects;
  for (int64_t i = thread_index() / kWarp; i < p.networks * objects * levels; i += thread_count() / kWarp) {
    const int64_t network = i / levels / objects, row = i / levels % objects, level = i % levels;
    const int64_t first = p.candidates.level_begin[level], end = p.candidates.level_begin[level + 1];
    const CostMoments moments = cost_moments_warp(
        buckets.keys + network * buckets.places() + buckets.begin[row], buckets.count[row],
        [&](int64_t index) { return buckets.anchor_of(index) >= first && buckets.anchor_of(index) < end; });
    if (threadIdx.x % kWarp == 0) {
      p.count[i] = moments.count;
      p.mean[i] = moments.mean;
      p.std[i] = moments.std;
    }
  }
}

// The buckets of given matches and costs. `matched` as in list_kernel.
BucketMemory bucket_candidates(const CandidateParams& p, const Tensor& costs, int64_t networks, int64_t* matched,
                               const CudaScope& scope) {
  BucketMemory memory = new_buckets(costs, p.images, p.anchor_count, p.objects, networks);
  const unsigned grid = grid_for(p.images * p.anchor_count, kObjectBlock);
  launch(list_kernel, grid, kObjectBlock, 0, scope.stream(), p, memory.buckets, matched);
  launch(key_kernel, grid, kObjectBlock, 0, scope.stream(), memory.buckets, p.cost);
  return memory;
}

struct CostStatisticsCuda {
  static void run(const StatisticsCall& call) {
    const CandidateParams& c = call.params.candidates;
    const int64_t work = call.params.networks * c.objects * c.levels;
    if (work > 0) {
      const CudaScope scope(call.costs);
      const BucketMemory memory = bucket_candidates(c, call.costs, call.params.networks, nullptr, scope);
      launch(statistics_kernel, grid_for(work * kWarp, kObjectBlock), kObjectBlock, 0, scope.stream(), call.params,
             memory.buckets);
    }
  }
};

}  // namespace

void SplitCandidatesCuda::split(const SplitParams& p, const CandidateBuckets& buckets, const CudaScope& scope) {
  if (p.candidates.objects > 0) {
    launch_dependent(split_kernel, grid_for(p.candidates.objects, 1), kObjectBlock, 0, scope.stream(), p, buckets);
  }
}

void SplitCandidatesCuda::run(const SplitCall& call) {
  const CandidateParams& c = call.params.candidates;
  if (c.objects > 0 || c.images * c.anchor_count > 0) {
    const CudaScope scope(call.cost);
    const BucketMemory memory = bucket_candidates(c, call.cost, 1, call.params.matched, scope);
    split(call.params, memory.buckets, scope);
  }
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("split_candidates", COLAD_BOX(&colad::split_candidates_op<colad::SplitCandidatesCuda>));
  m.impl("cost_statistics", COLAD_BOX(&colad::cost_statistics_op<colad::CostStatisticsCuda>));
}
