// Contract of match_anchors: it checks the arguments, allocates the outputs, and reads the boxes for both backends.
#pragma once

#include <string_view>

#include "common/boxed.h"
#include "common/ragged.h"
#include "ops/iou/iou.h"
#include "ops/match_anchors/candidate_buckets.h"
#include "ops/match_anchors/match_anchors_math.h"

namespace colad {

struct MatchParams {
  const void *anchors, *gt_boxes, *ignore_boxes;
  const int64_t *gt_offsets, *ignore_offsets;  // ignore_offsets may be null
  const uint8_t* valid;                        // may be null
  int64_t valid_stride_image;                  // 0 if all images share `valid`
  int64_t* matched;
  void* iou;  // may be null
  int64_t images, anchor_count, objects, ignore_count;
  MatchOptions options;
};

struct MatchCall {
  Tensor anchors, gt_boxes, gt_offsets, matched, iou;
  std::optional<Tensor> valid, ignore_boxes, ignore_offsets;
  MatchParams params;
  ScalarType dtype;
};

inline MatchOptions match_options(double iou_threshold, std::string_view low_quality, double ignore_iof,
                                  bool claim_zero_overlap, bool inclusive_corners) {
  check_number(iou_threshold, "iou_threshold");
  check_number(ignore_iof, "ignore_iof");
  constexpr Choice<LowQuality> kLowQuality[] = {
      {"all", LowQuality::all}, {"own", LowQuality::own}, {"none", LowQuality::none}};
  return {.iou_threshold = iou_threshold,
          .low_quality = choice(low_quality, "low_quality", kLowQuality),
          .ignore_iof = ignore_iof,
          .claim_zero_overlap = claim_zero_overlap,
          .inclusive_corners = inclusive_corners};
}

template <>
inline constexpr auto kMakeOptions<MatchOptions> = &match_options;

// `with_iou`: whether the call has an output for the IoU. Without it that tensor has no rows.
inline MatchCall match_contract(const Tensor& anchors, const Tensor& gt_boxes, const Tensor& gt_offsets,
                                const std::optional<Tensor>& valid, const std::optional<Tensor>& ignore_boxes,
                                const std::optional<Tensor>& ignore_offsets, const MatchOptions& options,
                                bool with_iou = true) {
  check_shape(anchors, "anchors", {-1, 4}, "(A, 4)");
  check_floating(anchors, "anchors");
  check_shape(gt_boxes, "gt_boxes", {-1, 4}, "(G, 4)");
  check_same_dtype(gt_boxes, "gt_boxes", anchors, "anchors");
  check_same_device(gt_boxes, "gt_boxes", anchors, "anchors");
  check(gt_boxes.size(0) <= INT32_MAX, "gt_boxes should have fewer than 2^31 rows, got ", gt_boxes.size(0));
  MatchParams p{};
  p.images = check_offsets(gt_offsets, "gt_offsets", gt_boxes.size(0), anchors, "anchors");
  p.anchor_count = anchors.size(0);
  p.objects = gt_boxes.size(0);
  if (valid) {
    check_dtype(*valid, "valid", ScalarType::Bool);
    check_same_device(*valid, "valid", anchors, "anchors");
    const bool shared = valid->dim() == 1;
    check((shared || (valid->dim() == 2 && valid->size(0) == p.images)) &&
              valid->size(valid->dim() - 1) == p.anchor_count,
          "valid should have shape (", p.anchor_count, ",) or (", p.images, ", ", p.anchor_count, "), got ",
          shape_of(*valid));
    p.valid_stride_image = shared ? 0 : p.anchor_count;
  }
  check(ignore_boxes.has_value() == ignore_offsets.has_value(),
        "ignore_boxes and ignore_offsets should be given together, got only ",
        ignore_boxes ? "ignore_boxes" : "ignore_offsets");
  if (ignore_boxes) {
    check_shape(*ignore_boxes, "ignore_boxes", {-1, 4}, "(I, 4)");
    check_same_dtype(*ignore_boxes, "ignore_boxes", anchors, "anchors");
    check_same_device(*ignore_boxes, "ignore_boxes", anchors, "anchors");
    const int64_t images = check_offsets(*ignore_offsets, "ignore_offsets", ignore_boxes->size(0), anchors, "anchors");
    check(images == p.images, "ignore_offsets should have as many images as gt_offsets, ", p.images, ", got ", images);
    p.ignore_count = ignore_boxes->size(0);
  }
  p.options = options;

  const ScalarType dtype = anchors.scalar_type();
  MatchCall call{as_boxes(anchors),
                 as_boxes(gt_boxes),
                 as_contiguous(gt_offsets),
                 new_tensor(anchors, {p.images, p.anchor_count}, ScalarType::Long),
                 new_tensor(anchors, {with_iou ? p.images : 0, p.anchor_count}),
                 as_contiguous(valid),
                 as_boxes(ignore_boxes),
                 as_contiguous(ignore_offsets),
                 p,
                 dtype};
  MatchParams& q = call.params;
  q.anchors = call.anchors.data_ptr();
  q.gt_boxes = call.gt_boxes.data_ptr();
  q.gt_offsets = static_cast<const int64_t*>(call.gt_offsets.data_ptr());
  q.valid = data_or_null<uint8_t>(call.valid);
  q.ignore_boxes = data_or_null<void>(call.ignore_boxes);
  q.ignore_offsets = data_or_null<int64_t>(call.ignore_offsets);
  q.matched = static_cast<int64_t*>(call.matched.data_ptr());
  q.iou = with_iou ? call.iou.data_ptr() : nullptr;
  return call;
}

COLAD_HD bool anchor_is_valid(const MatchParams& p, int64_t image, int64_t anchor) {
  return p.valid == nullptr || p.valid[image * p.valid_stride_image + anchor] != 0;
}

// A box of the call, from edge to edge. With `inclusive_corners` the tensor holds the first and the last pixel inside
// the box; adding 1 to the last pixel gives the edge.
template <typename T>
COLAD_HD Box<compute_t<T>> match_box(const MatchParams& p, const void* boxes, int64_t row) {
  Box<compute_t<T>> box = load_box(static_cast<const T*>(boxes), row);
  if (p.options.inclusive_corners) {
    box.x2 += 1;
    box.y2 += 1;
  }
  return box;
}

// An anchor or an object, with its area computed once.
template <typename C>
struct MatchBox {
  Box<C> box;
  C area;
};

template <typename T>
COLAD_HD MatchBox<compute_t<T>> measured_box(const MatchParams& p, const void* boxes, int64_t row) {
  const Box<compute_t<T>> box = match_box<T>(p, boxes, row);
  return {box, box_area(box)};
}

template <typename C>
COLAD_HD C match_overlap(const MatchBox<C>& gt, const MatchBox<C>& anchor) {
  return box_overlap<MayBeNan::neither>(gt.box, anchor.box);
}

// iou_of for two boxes whose areas are not NaN, from their overlap. Boxes that overlap have a union > 0, and other boxes
// need no division: their IoU is 0, or NaN if the overlap is infinity times 0. Both passes evaluate this one expression,
// so that a tie is exact.
template <typename C>
COLAD_HD C match_iou(C overlap, const MatchBox<C>& gt, const MatchBox<C>& anchor) {
  return overlap > C(0) ? overlap / (gt.area + anchor.area - overlap) : overlap;
}

// The operator. Backend::run(call) fills the outputs.
template <typename Backend>
std::tuple<Tensor, Tensor> match_anchors_op(const Tensor& anchors, const Tensor& gt_boxes, const Tensor& gt_offsets,
                                            std::optional<Tensor> valid, std::optional<Tensor> ignore_boxes,
                                            std::optional<Tensor> ignore_offsets, const MatchOptions& options) {
  const MatchCall call = match_contract(anchors, gt_boxes, gt_offsets, valid, ignore_boxes, ignore_offsets, options);
  Backend::run(call);
  return {call.matched, call.iou};
}

// What an assignment on CUDA does with the matches: the matched anchors are listed in the buckets of their objects, and
// the costs (networks, images, anchors) of all other anchors are written. Without `cost` nothing is done, and the
// buckets have only `object_best`.
struct MatchSink {
  CandidateBuckets buckets;
  float* cost;
};

class CudaScope;

struct MatchAnchorsCuda {
  static void run(const MatchCall& call);
  static void match(const MatchCall& call, const MatchSink& sink, const CudaScope& scope);
};

}  // namespace colad
