// The whole assignment on the CPU: images side by side, each from its matches to its positives in the memory of the
// results, so that nothing of the size of all anchors is needed besides.
#include "common/boxed.h"
#include "ops/assign_cost/assign_cost_cpu.h"
#include "ops/match_anchors/match_anchors_cpu.h"
#include "ops/paa_assign/paa_assign.h"
#include "ops/split_candidates/split_candidates_cpu.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 13;  // with their costs and fits, over 100 us of work

PaaAssignTensors paa_assign(std::vector<Tensor> logits, std::vector<Tensor> boxes, const Tensor& anchors,
                            const Tensor& gt_boxes, const Tensor& gt_labels, const Tensor& gt_offsets,
                            std::optional<Tensor> valid, std::optional<Tensor> ignore_boxes,
                            std::optional<Tensor> ignore_offsets, std::vector<int64_t> level_sizes,
                            double iou_threshold, std::string_view low_quality, double ignore_iof,
                            bool claim_zero_overlap, bool inclusive_corners, double alpha, double gamma,
                            std::string_view box_cost, double box_weight, bool probs, int64_t topk, bool tied,
                            int64_t max_iter, double tol, double reg_covar, std::string_view split, bool keep_single,
                            bool keep_without_component0, bool prefix) {
  const MatchCall match =
      match_contract(anchors, gt_boxes, gt_offsets, valid, ignore_boxes, ignore_offsets, iou_threshold, low_quality,
                     ignore_iof, claim_zero_overlap, inclusive_corners, /*with_iou=*/false);
  const MatchParams& m = match.params;
  check_offsets_ascend(m.gt_offsets, m.images, m.objects, "gt_offsets");
  if (m.ignore_offsets != nullptr) {
    check_offsets_ascend(m.ignore_offsets, m.images, m.ignore_count, "ignore_offsets");
  }
  const AssignCostCall cost = assign_cost_contract(logits, boxes, gt_boxes, gt_labels, match.matched, alpha, gamma,
                                                   box_cost, box_weight, probs);
  check_labels_exist(cost.params);
  const SplitCall call = split_contract(cost.cost, match.matched, gt_offsets, m.objects, level_sizes, topk, tied,
                                        max_iter, tol, reg_covar, split, keep_single, keep_without_component0, prefix,
                                        /*samples_in_place=*/INT64_MAX, /*over_matched=*/true);
  COLAD_DISPATCH_FLOATING(match.dtype, const MatchAnchors<scalar_t> match_anchors(m); torch::stable::parallel_for(
                              0, m.images, kAnchorsAThread / (m.anchor_count + 1) + 1, [&](int64_t begin, int64_t end) {
                                MatchScratch<scalar_t> match_scratch;
                                SplitScratch split_scratch;
                                for (int64_t image = begin; image < end; ++image) {
                                  int64_t* matched = m.matched + image * m.anchor_count;
                                  match_image<scalar_t>(m, match_anchors, image, match_scratch, matched, nullptr);
                                  write_costs(cost.params, image, 0, m.anchor_count);
                                  split_image(call.params, image, split_scratch);
                                }
                              }));
  return with_cost(call.outputs(), cost.cost);
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) { m.impl("paa_assign", COLAD_BOX(&colad::paa_assign)); }
