// How the block of an object finds its candidates, their moments, and the cheapest of each level.
#pragma once

#include "common/reduce.cuh"
#include "ops/split_candidates/split_candidates.h"

namespace colad {

constexpr int kBlock = 256;    // 8 warps: a level each, and threads to read an image's matches; not tuned on a card
constexpr int kListed = 2048;  // candidates in shared memory, 16 KB: some 8 times as many as a usual object has
constexpr int kSamples = SplitCandidatesCuda::kSamplesInPlace;

struct ObjectMemory {
  uint64_t listed[kListed];
  uint64_t chosen[kSamples], sorted[kSamples];
  double responsibility[2 * kSamples];
  double count[kBlock / kWarp], mean[kBlock / kWarp], squares[kBlock / kWarp];
  uint64_t scratch[kWarp];
  int candidates, samples;
};

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

// Every thread gets the moments of all: merged in a fixed order.
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
  for (int w = 0; w < kBlock / kWarp; ++w) {
    moments = merge(moments, {memory.count[w], memory.mean[w], memory.squares[w]});
  }
  return moments;
}

// Calls visit(anchor, cost) for this thread's share of an object's matched anchors begin..end; infinite and NaN costs
// are visited too.
template <typename Visit>
__device__ void for_each_matched(const CandidateParams& p, int64_t image, int64_t row, int64_t begin, int64_t end,
                                 Visit visit) {
  const int64_t* matched = p.matched + image * p.anchor_count;
  const float* cost = p.cost + image * p.anchor_count;
  for (int64_t a = begin + threadIdx.x; a < end; a += kBlock) {
    if (matched[a] == row) {
      visit(a, cost[a]);
    }
  }
}

// Appends a level's k cheapest keys to the chosen ones. All lanes of one warp call it; `listed` keys in any order.
__device__ void choose_of_list(const SplitParams& p, int level, int listed, uint64_t* chosen, ObjectMemory& memory) {
  const int64_t first = p.candidates.level_begin[level], end = p.candidates.level_begin[level + 1];
  const int lane = threadIdx.x % kWarp;
  uint64_t above = 0;  // keys are above 0: a cost's bits are
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

// The same without a list. All threads of the block call it.
__device__ void choose_of_anchors(const SplitParams& p, int64_t image, int64_t row, int level, uint64_t* chosen,
                                  ObjectMemory& memory) {
  const CandidateParams& c = p.candidates;
  uint64_t above = 0;
  for (int64_t round = 0; round < p.options.topk; ++round) {
    uint64_t best = kNoSample;
    for_each_matched(c, image, row, c.level_begin[level], c.level_begin[level + 1], [&](int64_t anchor, float cost) {
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
