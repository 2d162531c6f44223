// Writes the keys of candidates to the buckets of their objects.
#pragma once

#include "ops/match_anchors/candidate_buckets.h"
#include "ops/split_candidates/split_candidates_math.h"

namespace colad {

__device__ inline void write_key(const CandidateBuckets& b, int network, const ListedAnchor& at, float cost) {
  b.keys[network * b.places() + b.begin[at.row] + at.place] = candidate_key(cost, at.index);
}

}  // namespace colad
