// match_anchors on the CPU: images side by side, the two passes of an image one after the other.
#include <torch/csrc/stable/library.h>

#include <algorithm>

#include "ops/matching/matching.h"

namespace colad {
namespace {

// Fewer IoUs than this are not worth a second thread (about 100 us of work).
constexpr int64_t kPairsAThread = 1 << 16;

template <typename T>
void match_image(const MatchParams& p, int64_t image) {
  using C = compute_t<T>;
  const int64_t begin = p.gt_offsets[image], end = p.gt_offsets[image + 1];
  C* object_best = static_cast<C*>(p.object_best);
  std::fill(object_best + begin, object_best + end, C(0));
  for (int64_t anchor = 0; anchor < p.anchor_count; ++anchor) {
    BestObject<C> best{C(-1), -1};
    if (anchor_is_valid(p, image, anchor)) {
      const MatchBox<C> box = measured_box<T>(p, p.anchors, anchor);
      for (int64_t row = begin; row < end; ++row) {
        const C iou = match_iou(measured_box<T>(p, p.gt_boxes, row), box);
        meet(best, iou, row);
        object_best[row] = iou > object_best[row] ? iou : object_best[row];
      }
    }
    write_first_pass<T>(p, image, anchor, best);
  }
  if (p.low_quality == LowQuality::none && p.ignore_boxes == nullptr) {
    return;
  }
  for (int64_t anchor = 0; anchor < p.anchor_count; ++anchor) {
    if (anchor_is_valid(p, image, anchor)) {
      const MatchBox<C> box = measured_box<T>(p, p.anchors, anchor);
      SecondPass<C> pass;
      for (int64_t row = begin; row < end && p.low_quality != LowQuality::none; ++row) {
        pass.meet_object(match_iou(measured_box<T>(p, p.gt_boxes, row), box), row, object_best[row],
                         p.claim_zero_overlap);
      }
      write_second_pass<T>(p, image, anchor, box, pass);
    }
  }
}

std::tuple<Tensor, Tensor> match_anchors(const Tensor& anchors, const Tensor& gt_boxes, const Tensor& gt_offsets,
                                         std::optional<Tensor> valid, std::optional<Tensor> ignore_boxes,
                                         std::optional<Tensor> ignore_offsets, double iou_threshold,
                                         std::string low_quality, double ignore_iof, bool claim_zero_overlap,
                                         bool inclusive_corners) {
  const MatchCall call = match_contract(anchors, gt_boxes, gt_offsets, valid, ignore_boxes, ignore_offsets,
                                        iou_threshold, low_quality, ignore_iof, claim_zero_overlap, inclusive_corners);
  const MatchParams& p = call.params;
  check_offsets_ascend(p.gt_offsets, p.images, p.objects, "gt_offsets");
  if (p.ignore_offsets != nullptr) {
    check_offsets_ascend(p.ignore_offsets, p.images, p.ignore_count, "ignore_offsets");
  }
  const int64_t pairs_an_image = p.images > 0 ? p.anchor_count * p.objects / p.images + 1 : 1;
  COLAD_DISPATCH_FLOATING(call.dtype, torch::stable::parallel_for(0, p.images, kPairsAThread / pairs_an_image + 1,
                                                                  [&](int64_t begin, int64_t end) {
                                                                    for (int64_t image = begin; image < end; ++image) {
                                                                      match_image<scalar_t>(p, image);
                                                                    }
                                                                  }));
  return {call.matched, call.iou};
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) { m.impl("match_anchors", TORCH_BOX(&colad::match_anchors)); }
