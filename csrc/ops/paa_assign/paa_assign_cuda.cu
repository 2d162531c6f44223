// The whole assignment on CUDA: five launches, one after the other.
#include "common/boxed.h"
#include "ops/paa_assign/paa_assign.h"

namespace colad {
namespace {

PaaAssignTensors paa_assign(std::vector<Tensor> logits, std::vector<Tensor> boxes, const Tensor& anchors,
                            const Tensor& gt_boxes, const Tensor& gt_labels, const Tensor& gt_offsets,
                            std::optional<Tensor> valid, std::optional<Tensor> ignore_boxes,
                            std::optional<Tensor> ignore_offsets, std::vector<int64_t> level_sizes,
                            double iou_threshold, std::string_view low_quality, double ignore_iof,
                            bool claim_zero_overlap, bool inclusive_corners, double alpha, double gamma,
                            std::string_view box_cost, double box_weight, bool probs, int64_t topk, bool tied,
                            int64_t max_iter, double tol, double reg_covar, std::string_view split, bool keep_single,
                            bool keep_without_component0, bool prefix) {
  const Tensor matched =
      std::get<0>(match_anchors_cuda(anchors, gt_boxes, gt_offsets, valid, ignore_boxes, ignore_offsets, iou_threshold,
                                     low_quality, ignore_iof, claim_zero_overlap, inclusive_corners));
  const Tensor cost =
      assign_cost_cuda(logits, boxes, gt_boxes, gt_labels, matched, alpha, gamma, box_cost, box_weight, probs);
  return with_cost(split_candidates_cuda(cost, matched, gt_offsets, gt_boxes.size(0), level_sizes, topk, tied, max_iter,
                                         tol, reg_covar, split, keep_single, keep_without_component0, prefix),
                   cost);
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) { m.impl("paa_assign", COLAD_BOX(&colad::paa_assign)); }
