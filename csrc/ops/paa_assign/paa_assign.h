// The whole assignment as one operator: match_anchors, assign_cost, split_candidates. Its arguments are theirs.
#pragma once

#include "ops/assign_cost/assign_cost.h"
#include "ops/match_anchors/match_anchors.h"
#include "ops/split_candidates/split_candidates.h"

namespace colad {

// matched (positives), cost, num_pos, mean, std, weights, means, variances.
using PaaAssignTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

inline PaaAssignTensors with_cost(const SplitTensors& split, const Tensor& cost) {
  const auto& [matched, num_pos, mean, std, weights, means, variances] = split;
  return {matched, cost, num_pos, mean, std, weights, means, variances};
}

}  // namespace colad
