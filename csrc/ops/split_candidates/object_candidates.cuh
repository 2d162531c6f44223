// The block of an object reads the object's bucket and finds the cheapest candidates of each level.
#pragma once

#include "common/reduce.cuh"
#include "ops/match_anchors/candidate_buckets.h"
#include "ops/split_candidates/split_candidates.h"

namespace colad {

// An object's block has 8 warps. All read the bucket, then each warp takes a level. Not tuned on a card.
constexpr int kObjectBlock = 256;
constexpr int kListed = 2048;  // keys in shared memory, 16 KB: about 8 times as many as an object usually has
constexpr int kSamples = SplitCandidatesCuda::kSamplesInPlace;

struct ObjectMemory {
  uint64_t listed[kListed];
  uint64_t chosen[kSamples], sorted[kSamples];
  double responsibility[2 * kSamples];
  int64_t first;  // the first anchor of the object's image, of (images, anchors)
  int samples;
};

// The keys of an object, in any order: costs and anchors of the image.
struct KeyList {
  const uint64_t* keys;  // memory.listed, or memory of the device
  int64_t count;
  int64_t first;  // the first anchor of the image, of (images, anchors)
};

// Calls use(keys) with the keys of a list. The compiler knows for each call in which memory they are.
template <typename Use>
__device__ auto with_keys(const KeyList& list, const ObjectMemory& memory, Use use) {
  return list.keys == memory.listed ? use(static_cast<const uint64_t*>(memory.listed)) : use(list.keys);
}

// Reads the keys of object `row`, key(i) for the place i of its bucket, into shared memory, or into the bucket's part
// of `overflow` if there are too many. Calls visit(index, anchor) for each anchor, `index` of (images, anchors). All
// threads of the block call it.
template <typename Key, typename Visit>
__device__ KeyList read_bucket(const CandidateBuckets& b, int64_t row, uint64_t* overflow, Key key, Visit visit,
                               ObjectMemory& memory) {
  const int64_t count = b.count[row], begin = b.begin[row];
  uint64_t* const list = count <= kListed ? memory.listed : overflow + begin;
  for (int64_t i = threadIdx.x; i < count; i += kObjectBlock) {
    const uint64_t found = key(begin + i);
    const int64_t index = sample_anchor(found), anchor = b.anchor_of(index);
    list[i] = found - (index - anchor);
    visit(index, anchor);
    if (i == 0) {
      memory.first = index - anchor;
    }
  }
  if (threadIdx.x == 0) {
    memory.samples = 0;
  }
  __syncthreads();
  return {list, count, count > 0 ? memory.first : 0};
}

// Appends the k cheapest keys of a level to `chosen`. All lanes of one warp call this function.
__device__ inline void choose_of_level(const SplitParams& p, const uint64_t* keys, int64_t count, int level,
                                       uint64_t* chosen, ObjectMemory& memory) {
  const int64_t first = p.candidates.level_begin[level], end = p.candidates.level_begin[level + 1];
  const int lane = threadIdx.x % kWarp;
  uint64_t above = 0;  // every key is above 0, because the ordered bits of a cost are
  for (int64_t round = 0; round < p.options.topk; ++round) {
    uint64_t best = kFirstExcluded;
    for (int64_t i = lane; i < count; i += kWarp) {
      const uint64_t key = keys[i];
      const int64_t anchor = sample_anchor(key);
      if (key > above && key < best && anchor >= first && anchor < end) {
        best = key;
      }
    }
    best = warp_reduce(best, Min{});
    if (best == kFirstExcluded) {
      return;
    }
    if (lane == 0) {
      chosen[atomicAdd(&memory.samples, 1)] = best;
    }
    above = best;
  }
}

// Writes the cheapest candidates of all levels to `sorted`, cheapest first, and returns their number. `chosen` is
// scratch memory. All threads of the block call it.
__device__ inline int choose_samples(const SplitParams& p, const uint64_t* keys, int64_t count, uint64_t* chosen,
                                     uint64_t* sorted, ObjectMemory& memory) {
  for (int level = threadIdx.x / kWarp; level < p.candidates.levels; level += kObjectBlock / kWarp) {
    choose_of_level(p, keys, count, level, chosen, memory);
  }
  __syncthreads();
  const int samples = memory.samples;
  for (int i = threadIdx.x; i < samples; i += kObjectBlock) {
    int rank = 0;  // keys are distinct, so the rank of a key is the number of smaller keys
    for (int j = 0; j < samples; ++j) {
      rank += chosen[j] < chosen[i];
    }
    sorted[rank] = chosen[i];
  }
  __syncthreads();
  return samples;
}

}  // namespace colad
