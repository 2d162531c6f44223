// match_anchors on the CPU: images side by side.
#include "ops/match_anchors/match_anchors_cpu.h"

#include "common/boxed.h"

namespace colad {
namespace {

// Fewer IoUs than this are not worth a second thread (about 100 us of work).
constexpr int64_t kPairsAThread = 1 << 18;

std::tuple<Tensor, Tensor> match_anchors(const Tensor& anchors, const Tensor& gt_boxes, const Tensor& gt_offsets,
                                         std::optional<Tensor> valid, std::optional<Tensor> ignore_boxes,
                                         std::optional<Tensor> ignore_offsets, double iou_threshold,
                                         std::string_view low_quality, double ignore_iof, bool claim_zero_overlap,
                                         bool inclusive_corners) {
  const MatchCall call = match_contract(anchors, gt_boxes, gt_offsets, valid, ignore_boxes, ignore_offsets,
                                        iou_threshold, low_quality, ignore_iof, claim_zero_overlap, inclusive_corners);
  const MatchParams& p = call.params;
  check_offsets_ascend(p.gt_offsets, p.images, p.objects, "gt_offsets");
  if (p.ignore_offsets != nullptr) {
    check_offsets_ascend(p.ignore_offsets, p.images, p.ignore_count, "ignore_offsets");
  }
  const int64_t pairs_an_image = p.images > 0 ? p.anchor_count * p.objects / p.images + 1 : 1;
  COLAD_DISPATCH_FLOATING(
      call.dtype, const MatchAnchors<scalar_t> anchors(p);
      torch::stable::parallel_for(0, p.images, kPairsAThread / pairs_an_image + 1, [&](int64_t begin, int64_t end) {
        MatchScratch<scalar_t> scratch;
        for (int64_t image = begin; image < end; ++image) {
          const int64_t first = image * p.anchor_count;
          match_image(p, anchors, image, scratch, p.matched + first, static_cast<scalar_t*>(p.iou) + first);
        }
      }));
  return {call.matched, call.iou};
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) { m.impl("match_anchors", COLAD_BOX(&colad::match_anchors)); }
