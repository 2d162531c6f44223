// The candidates of a batch on CUDA, bucketed by object, so that the work for an object grows with its own candidates
// and not with the anchors of its image.
//
// Two kernels fill the buckets. The one that knows the matches lists the matched anchors, in any order, and gives
// each its place in the bucket of its object (candidate_lists.cuh). Its last block finds where each bucket begins. The
// one that knows the costs writes a key to each place. Which place an anchor gets depends on the order of the threads,
// so nothing that is computed from a bucket may depend on the order of its keys.
#pragma once

#include "common/allocate.h"
#include "common/check.h"
#include "common/host_device.h"

namespace colad {

struct alignas(16) ListedAnchor {
  int32_t index;  // of (images, anchors)
  int32_t row;    // of its object
  int32_t place;  // in the bucket of the object
};

struct CandidateBuckets {
  int32_t* listed_count;  // the number of listed anchors
  int32_t* arrived;       // (2,): how many blocks of a kernel have come to their end
  int64_t* object_best;   // (G,): each object's largest IoU with an anchor, in the type of the matching
  int32_t* count;         // (G,): matched anchors of each object
  int32_t* done;          // (G,): costs that are known, of all networks
  int32_t* begin;         // (G,): the first place of each bucket
  ListedAnchor* listed;   // (images * anchors,)
  uint64_t* keys;         // (networks, images * anchors): costs and indices of (images, anchors)
  int64_t images, anchor_count, objects;
  int networks;

  COLAD_HD int64_t places() const { return images * anchor_count; }

  // The anchor within its image.
  COLAD_HD int64_t anchor_of(int64_t index) const { return index - quotient(index, anchor_count) * anchor_count; }
};

// `counters` holds everything up to `listed`. It starts at 0.
constexpr int64_t kCounters = 4, kCountersAnObject = 5;

inline int64_t counters_of(int64_t objects) { return kCounters + kCountersAnObject * objects; }

struct BucketMemory {
  Tensor counters, listed, keys;
  CandidateBuckets buckets;
};

inline CandidateBuckets buckets_in(const Tensor& counters, const Tensor& listed, const Tensor& keys, int64_t images,
                                   int64_t anchors, int64_t objects, int64_t networks) {
  int32_t* const words = static_cast<int32_t*>(counters.data_ptr());
  int32_t* const of_objects = words + kCounters + 2 * objects;
  return {.listed_count = words,
          .arrived = words + 1,
          .object_best = reinterpret_cast<int64_t*>(words + kCounters),
          .count = of_objects,
          .done = of_objects + objects,
          .begin = of_objects + 2 * objects,
          .listed = static_cast<ListedAnchor*>(listed.data_ptr()),
          .keys = static_cast<uint64_t*>(keys.data_ptr()),
          .images = images,
          .anchor_count = anchors,
          .objects = objects,
          .networks = static_cast<int>(networks)};
}

inline BucketMemory new_buckets(const Tensor& like, int64_t images, int64_t anchors, int64_t objects,
                                int64_t networks = 1) {
  check(images * anchors <= INT32_MAX, "anchors of all images should be fewer than 2^31 on CUDA, got ",
        images * anchors);
  check(objects <= INT32_MAX, "objects should be fewer than 2^31 on CUDA, got ", objects);
  constexpr int64_t kWords = sizeof(ListedAnchor) / sizeof(int64_t);
  BucketMemory memory{new_tensor(like, {counters_of(objects)}, ScalarType::Int),
                      new_tensor(like, {images * anchors, kWords}, ScalarType::Long),
                      new_tensor(like, {networks, images * anchors}, ScalarType::Long),
                      {}};
  torch::stable::zero_(memory.counters);
  memory.buckets = buckets_in(memory.counters, memory.listed, memory.keys, images, anchors, objects, networks);
  return memory;
}

}  // namespace colad
