// The device functions that fill the buckets of candidate_buckets.h.
#pragma once

#include "common/last_block.cuh"
#include "common/reduce.cuh"
#include "ops/match_anchors/candidate_buckets.h"

namespace colad {

// Lists anchor `index` of (images, anchors) as a candidate of object `row`, unless row < 0. All lanes of a warp call
// it.
__device__ inline void list_anchor(const CandidateBuckets& b, int64_t index, int64_t row) {
  const unsigned votes = __ballot_sync(kFullMask, row >= 0);
  if (votes == 0) {
    return;
  }
  const int lane = threadIdx.x % kWarp;
  const unsigned before = (1u << lane) - 1;
  int first = 0;
  if (lane == 0) {
    first = atomicAdd(b.listed_count, __popc(votes));
  }
  first = __shfl_sync(kFullMask, first, 0);
  if (row >= 0) {
    const unsigned same = __match_any_sync(votes, static_cast<int>(row));
    const int leader = __ffs(same) - 1;
    int place = 0;
    if (lane == leader) {
      place = atomicAdd(&b.count[row], __popc(same));
    }
    place = __shfl_sync(same, place, leader) + __popc(same & before);
    b.listed[first + __popc(votes & before)] = {static_cast<int32_t>(index), static_cast<int32_t>(row), place};
  }
}

// In the last block that comes here, writes where each bucket begins. All threads of all blocks call it once, at their
// end. `scratch` is shared memory for a number a warp.
template <int kBlock>
__device__ void begin_buckets(const CandidateBuckets& b, int32_t* scratch) {
  if (!is_last_block(b.arrived)) {
    return;
  }
  constexpr int kEach = 8;  // objects a thread takes at a time
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  int32_t before = 0;  // candidates of the objects before this part
  for (int64_t part = 0; part < b.objects; part += kBlock * kEach) {
    const int64_t first = part + threadIdx.x * kEach;
    int32_t count[kEach], sum = 0;
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      count[k] = first + k < b.objects ? b.count[first + k] : 0;
      sum += count[k];
    }
    int32_t upto = sum;  // of the lanes up to this one
    for (int offset = 1; offset < kWarp; offset *= 2) {
      const int32_t other = __shfl_up_sync(kFullMask, upto, offset);
      upto += lane >= offset ? other : 0;
    }
    if (lane == kWarp - 1) {
      scratch[warp] = upto;
    }
    __syncthreads();
    int32_t begin = before + upto - sum;
    for (int w = 0; w < kBlock / kWarp; ++w) {
      begin += w < warp ? scratch[w] : 0;
      before += scratch[w];
    }
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      if (first + k < b.objects) {
        b.begin[first + k] = begin;
      }
      begin += count[k];
    }
    __syncthreads();
  }
}

}  // namespace colad
