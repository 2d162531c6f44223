// assign_cost on the CPU: only matched anchors cost anything.
#include <torch/csrc/stable/library.h>

#include "ops/assign_cost/assign_cost.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 13;  // with one in ten matched, about 100 us of work

// On the CPU what only the data can tell is checked before anything is computed.
void check_data(const AssignCostParams& p) {
  for (int64_t row = 0; row < p.objects; ++row) {
    check(p.gt_labels[row] >= 0 && p.gt_labels[row] < p.classes, "gt_labels should be in 0..", p.classes - 1, ", got ",
          p.gt_labels[row], " at row ", row);
  }
  for (int64_t i = 0; i < p.images * p.anchor_count; ++i) {
    check(p.matched[i] >= kIgnored && p.matched[i] < p.objects, "matched should be in -2..", p.objects - 1, ", got ",
          p.matched[i], " at image ", i / p.anchor_count, ", anchor ", i % p.anchor_count);
  }
}

Tensor assign_cost_cpu(std::vector<Tensor> logits, std::vector<Tensor> boxes, const Tensor& gt_boxes,
                       const Tensor& gt_labels, const Tensor& matched, double alpha, double gamma, std::string box_cost,
                       double box_weight, bool probs) {
  const AssignCostCall call =
      assign_cost_contract(logits, boxes, gt_boxes, gt_labels, matched, alpha, gamma, box_cost, box_weight, probs);
  const AssignCostParams& p = call.params;
  check_data(p);
  COLAD_DISPATCH_FLOATING(
      p.logits.dtype,
      torch::stable::parallel_for(0, p.images * p.anchor_count, kAnchorsAThread, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          p.cost[i] = has_cost(p, i) ? class_cost_at<scalar_t>(p, i, 0, 1) + box_cost_at(p, i) : kNoCost;
        }
      }));
  return call.cost;
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) { m.impl("assign_cost", TORCH_BOX(&colad::assign_cost_cpu)); }
