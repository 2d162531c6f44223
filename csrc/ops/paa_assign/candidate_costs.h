// The launch that computes the costs of all candidates, for all networks that assign together.
#pragma once

#include "ops/assign_cost/assign_cost.h"
#include "ops/match_anchors/candidate_buckets.h"

namespace colad {

class CudaScope;

// Writes the costs of the listed anchors, and their keys to the buckets. networks[k] is of network k of the buckets.
// All have the same options, except for `probs`.
void compute_candidate_costs(const std::vector<AssignCostParams>& networks, const CandidateBuckets& buckets,
                             const CudaScope& scope);

}  // namespace colad
