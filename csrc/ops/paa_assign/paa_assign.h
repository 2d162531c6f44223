// The whole assignment as one operator: match_anchors, assign_cost and split_candidates. It has the arguments and the
// contracts of all three. All contracts are checked before anything is computed.
#pragma once

#include "ops/assign_cost/assign_cost.h"
#include "ops/match_anchors/match_anchors.h"
#include "ops/split_candidates/split_candidates.h"

namespace colad {

// matched (positives), cost, num_pos, mean, std, weights, means, variances.
using PaaAssignTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

struct PaaAssignCall {
  MatchCall match;
  AssignCostCall cost;
  SplitCall split;
};

// The operator. Backend::run(call) fills the outputs.
template <typename Backend>
PaaAssignTensors paa_assign_op(std::vector<Tensor> logits, std::vector<Tensor> boxes, const Tensor& anchors,
                               const Tensor& gt_boxes, const Tensor& gt_labels, const Tensor& gt_offsets,
                               std::vector<int64_t> level_sizes, std::optional<Tensor> valid,
                               std::optional<Tensor> ignore_boxes, std::optional<Tensor> ignore_offsets,
                               const MatchOptions& match_options, const CostOptions& cost_options,
                               const SplitOptions& split_options) {
  const MatchCall match = match_contract(anchors, gt_boxes, gt_offsets, valid, ignore_boxes, ignore_offsets,
                                         match_options, /*with_iou=*/false);
  const AssignCostCall cost =
      assign_cost_contract(logits, boxes, gt_boxes, gt_labels, match.matched, cost_options, "anchors");
  const SplitCall split = split_contract(cost.cost, match.matched, gt_offsets, gt_boxes.size(0), level_sizes,
                                         split_options, Backend::kSamplesInPlace, /*over_matched=*/true);
  Backend::run({match, cost, split});
  const auto& [matched, num_pos, mean, std, weights, means, variances] = split.outputs();
  return {matched, cost.cost, num_pos, mean, std, weights, means, variances};
}

}  // namespace colad
