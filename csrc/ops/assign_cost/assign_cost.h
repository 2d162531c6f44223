// Contract of assign_cost, and the two parts of one anchor's cost, which the backends add up.
#pragma once

#include <limits>
#include <string_view>

#include "common/allocate.h"
#include "common/boxed.h"
#include "common/level_views.h"
#include "ops/assign_cost/assign_cost_math.h"
#include "ops/focal_loss/focal_loss_options.h"
#include "ops/iou/iou.h"

namespace colad {

struct AssignCostParams {
  LevelViews logits, boxes;
  const void* gt_boxes;
  ScalarType gt_dtype;
  const int64_t *gt_labels, *matched;
  float* cost;
  int64_t images, anchor_count, objects, classes;
  CostOptions options;
};

constexpr float kNoCost = std::numeric_limits<float>::infinity();  // of an anchor without an object

struct AssignCostCall {
  Tensor gt_boxes, gt_labels, matched, cost;
  AssignCostParams params;
};

inline SharedCostOptions shared_cost_options(const FocalLossOptions& focal, std::string_view box_cost,
                                             double box_weight) {
  check_finite(box_weight, "box_weight");
  return {.focal = {static_cast<float>(focal.alpha), static_cast<float>(focal.gamma)},
          .box_cost = iou_mode(box_cost, "box_cost"),
          .box_weight = static_cast<float>(box_weight)};
}

template <>
inline constexpr auto kMakeOptions<SharedCostOptions> = &shared_cost_options;

inline CostOptions cost_options(const SharedCostOptions& shared, bool probs) { return {shared, probs}; }

template <>
inline constexpr auto kMakeOptions<CostOptions> = &cost_options;

// The checked inputs. The caller says where the costs go. Messages compare devices with that of `device_from`: the
// argument from which `matched` has its device.
inline AssignCostCall assign_cost_inputs(const std::vector<Tensor>& logits, const std::vector<Tensor>& boxes,
                                         const Tensor& gt_boxes, const Tensor& gt_labels, const Tensor& matched,
                                         const CostOptions& options, const char* device_from = "matched") {
  check_shape(matched, "matched", {-1, -1}, "(B, A)");
  check_dtype(matched, "matched", ScalarType::Long);
  AssignCostParams p{};
  p.images = matched.size(0);
  p.anchor_count = matched.size(1);
  check(!logits.empty(), "logits should have at least one level, got none");
  p.classes = logits[0].dim() == 3 ? logits[0].size(2) : -1;
  p.logits = check_levels(logits, "logits", p.images, p.anchor_count, p.classes, matched, device_from);
  p.boxes = check_levels(boxes, "boxes", p.images, p.anchor_count, 4, matched, device_from);
  check_shape(gt_boxes, "gt_boxes", {-1, 4}, "(G, 4)");
  check_floating(gt_boxes, "gt_boxes");
  check_same_device(gt_boxes, "gt_boxes", matched, device_from);
  p.objects = gt_boxes.size(0);
  check_shape(gt_labels, "gt_labels", {p.objects}, "(G,), one a row of gt_boxes");
  check_dtype(gt_labels, "gt_labels", ScalarType::Long);
  check_same_device(gt_labels, "gt_labels", matched, device_from);
  p.gt_dtype = gt_boxes.scalar_type();
  p.options = options;

  AssignCostCall call{as_contiguous(gt_boxes), as_contiguous(gt_labels), as_contiguous(matched), matched, p};
  call.params.gt_boxes = call.gt_boxes.data_ptr();
  call.params.gt_labels = static_cast<const int64_t*>(call.gt_labels.data_ptr());
  call.params.matched = static_cast<const int64_t*>(call.matched.data_ptr());
  return call;
}

inline AssignCostCall assign_cost_contract(const std::vector<Tensor>& logits, const std::vector<Tensor>& boxes,
                                           const Tensor& gt_boxes, const Tensor& gt_labels, const Tensor& matched,
                                           const CostOptions& options, const char* device_from = "matched") {
  AssignCostCall call = assign_cost_inputs(logits, boxes, gt_boxes, gt_labels, matched, options, device_from);
  call.cost = new_tensor(matched, {matched.size(0), matched.size(1)}, ScalarType::Float);
  call.params.cost = static_cast<float*>(call.cost.data_ptr());
  return call;
}

// Whether an object of row `row`, and its label, exist.
COLAD_HD bool has_cost(const AssignCostParams& p, int64_t row) {
  return row >= 0 && row < p.objects && p.gt_labels[row] >= 0 && p.gt_labels[row] < p.classes;
}

// The four numbers of a box as float32; `stride` is the step from one to the next, in elements.
template <typename T>
COLAD_HD Box<float> float_box(const void* data, int64_t start, int64_t stride) {
  const T* at = static_cast<const T*>(data) + start;
  return {static_cast<float>(at[0]), static_cast<float>(at[stride]), static_cast<float>(at[2 * stride]),
          static_cast<float>(at[3 * stride])};
}

COLAD_HD Box<float> float_box(const void* data, int64_t start, int64_t stride, ScalarType type) {
  switch (type) {
    case ScalarType::Float:
      return float_box<float>(data, start, stride);
    case ScalarType::Double:
      return float_box<double>(data, start, stride);
    case ScalarType::Half:
      return float_box<torch::headeronly::Half>(data, start, stride);
    default:
      return float_box<torch::headeronly::BFloat16>(data, start, stride);
  }
}

// The box part of the cost of an anchor for object `row`, which exists.
COLAD_HD float box_cost_at(const AssignCostParams& p, int64_t image, int64_t anchor, int64_t row) {
  const ChannelRow at = channel_row(p.boxes, image, anchor);
  return box_cost(float_box(at.data, at.start, at.stride, p.boxes.dtype), float_box(p.gt_boxes, 4 * row, 1, p.gt_dtype),
                  p.options);
}

// The operator. Backend::run(call) fills the output.
template <typename Backend>
Tensor assign_cost_op(std::vector<Tensor> logits, std::vector<Tensor> boxes, const Tensor& gt_boxes,
                      const Tensor& gt_labels, const Tensor& matched, const CostOptions& options) {
  const AssignCostCall call = assign_cost_contract(logits, boxes, gt_boxes, gt_labels, matched, options);
  Backend::run(call);
  return call.cost;
}

struct AssignCostCuda {
  static void run(const AssignCostCall& call);
};

}  // namespace colad
