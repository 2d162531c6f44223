// The block of an object finds the object's candidates, their moments, and the cheapest candidates of each level.
#pragma once

#include "common/reduce.cuh"
#include "ops/split_candidates/split_candidates.h"

namespace colad {

// An object's block has 8 warps. All read the image's matches, then each warp takes a level. Not tuned on a card.
constexpr int kObjectBlock = 256;
constexpr int kListed = 2048;  // candidates in shared memory, 16 KB: about 8 times as many as an object usually has
constexpr int kSamples = SplitCandidatesCuda::kSamplesInPlace;

struct ObjectMemory {
  uint64_t listed[kListed];
  uint64_t chosen[kSamples], sorted[kSamples];
  double responsibility[2 * kSamples];
  double count[kObjectBlock / kWarp], mean[kObjectBlock / kWarp], squares[kObjectBlock / kWarp];
  uint64_t scratch[kWarp];
  int candidates, samples;
};

__device__ int64_t image_of(const CandidateParams& p, int64_t row) { return image_of_row(p.gt_offsets, p.images, row); }

// Merges the moments of all threads in a fixed order. Every thread gets the result.
__device__ Moments block_merge(Moments moments, ObjectMemory& memory) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    moments = merge(
        moments, {__shfl_xor_sync(kFullMask, moments.count, offset), __shfl_xor_sync(kFullMask, moments.mean, offset),
                  __shfl_xor_sync(kFullMask, moments.squares, offset)});
  }
  const int warp = threadIdx.x / kWarp;
  if (threadIdx.x % kWarp == 0) {
    memory.count[warp] = moments.count;
    memory.mean[warp] = moments.mean;
    memory.squares[warp] = moments.squares;
  }
  __syncthreads();
  moments = {0.0, 0.0, 0.0};
  for (int w = 0; w < kObjectBlock / kWarp; ++w) {
    moments = merge(moments, {memory.count[w], memory.mean[w], memory.squares[w]});
  }
  return moments;
}

// Calls visit(anchor, cost) for this thread's share of the anchors begin..end that are matched to object `row`. Anchors
// with an infinite or NaN cost are visited too.
template <typename Visit>
__device__ void for_each_anchor_of_object(const CandidateParams& p, int64_t image, int64_t row, int64_t begin,
                                          int64_t end, Visit visit) {
  const int64_t* matched = p.matched + image * p.anchor_count;
  const float* cost = p.cost + image * p.anchor_count;
  for (int64_t a = begin + threadIdx.x; a < end; a += kObjectBlock) {
    if (matched[a] == row) {
      visit(a, cost[a]);
    }
  }
}

// Appends the k cheapest keys of a level to `chosen`. The list holds `listed` keys in any order. All lanes of one warp
// call this function.
__device__ void choose_of_list(const SplitParams& p, int level, int listed, uint64_t* chosen, ObjectMemory& memory) {
  const int64_t first = p.candidates.level_begin[level], end = p.candidates.level_begin[level + 1];
  const int lane = threadIdx.x % kWarp;
  uint64_t above = 0;  // every key is above 0, because the ordered bits of a cost are
  for (int64_t round = 0; round < p.options.topk; ++round) {
    uint64_t best = kNoSample;
    for (int i = lane; i < listed; i += kWarp) {
      const uint64_t key = memory.listed[i];
      const int64_t anchor = sample_anchor(key);
      if (key > above && key < best && anchor >= first && anchor < end) {
        best = key;
      }
    }
    best = warp_reduce(best, Min{});
    if (best == kNoSample) {
      return;
    }
    if (lane == 0) {
      chosen[atomicAdd(&memory.samples, 1)] = best;
    }
    above = best;
  }
}

// The same without the list: reads the anchors again in every round. All threads of the block call this function.
__device__ void choose_of_anchors(const SplitParams& p, int64_t image, int64_t row, int level, uint64_t* chosen,
                                  ObjectMemory& memory) {
  const CandidateParams& c = p.candidates;
  uint64_t above = 0;
  for (int64_t round = 0; round < p.options.topk; ++round) {
    uint64_t best = kNoSample;
    for_each_anchor_of_object(c, image, row, c.level_begin[level], c.level_begin[level + 1],
                              [&](int64_t anchor, float cost) {
                                const uint64_t key = is_finite(cost) ? sample_key(cost, anchor) : kNoSample;
                                best = key > above && key < best ? key : best;
                              });
    best = block_reduce(best, Min{}, kNoSample, memory.scratch);
    if (best == kNoSample) {
      return;
    }
    if (threadIdx.x == 0) {
      chosen[memory.samples++] = best;
    }
    above = best;
  }
}

}  // namespace colad
