// match_anchors on the CPU: images side by side, object by object, anchors a block at a time. A block that an object
// does not reach is skipped: all its IoUs are 0.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <limits>

#include "ops/matching/matching.h"

namespace colad {
namespace {

// Fewer IoUs than this are not worth a second thread (about 100 us of work).
constexpr int64_t kPairsAThread = 1 << 16;
constexpr int64_t kBlock = 64;  // anchors: some rows of a coarse level, part of a row of a fine one

// Anchors coordinate by coordinate, so that a block of them is computed side by side, and the box around each block.
template <typename T>
struct Anchors {
  using C = compute_t<T>;
  std::vector<C> x1, y1, x2, y2, area;
  std::vector<Box<C>> around;  // of each block; infinite where some anchor is not finite, so that it is never skipped

  explicit Anchors(const MatchParams& p)
      : x1(p.anchor_count), y1(p.anchor_count), x2(p.anchor_count), y2(p.anchor_count), area(p.anchor_count) {
    constexpr C kInfinity = std::numeric_limits<C>::infinity();
    for (int64_t begin = 0; begin < p.anchor_count; begin += kBlock) {
      Box<C> box{kInfinity, kInfinity, -kInfinity, -kInfinity};
      bool finite = true;
      for (int64_t i = begin; i < std::min(begin + kBlock, p.anchor_count); ++i) {
        const MatchBox<C> anchor = measured_box<T>(p, p.anchors, i);
        x1[i] = anchor.box.x1, y1[i] = anchor.box.y1, x2[i] = anchor.box.x2, y2[i] = anchor.box.y2;
        area[i] = anchor.area;
        box = {std::min(box.x1, x1[i]), std::min(box.y1, y1[i]), std::max(box.x2, x2[i]), std::max(box.y2, y2[i])};
        finite &= is_finite(x1[i] + y1[i] + x2[i] + y2[i]) && is_finite(area[i]);
      }
      around.push_back(finite ? box : Box<C>{-kInfinity, -kInfinity, kInfinity, kInfinity});
    }
  }

  int64_t count() const { return static_cast<int64_t>(area.size()); }

  // IoUs of a block with an object, into `iou`; returns how many.
  int64_t block_ious(int64_t begin, const MatchBox<C>& gt, C* iou) const {
    const int64_t n = std::min(kBlock, count() - begin);
    for (int64_t k = 0; k < n; ++k) {
      const int64_t i = begin + k;
      iou[k] = match_iou(gt, {{x1[i], y1[i], x2[i], y2[i]}, area[i]});
    }
    return n;
  }
};

// The box may overlap something in the block; NaN never does, and then every IoU with it is NaN, not 0.
template <typename C>
bool reaches(const Box<C>& box, const Box<C>& around) {
  return !(box.x2 <= around.x1 || box.x1 >= around.x2 || box.y2 <= around.y1 || box.y1 >= around.y2);
}

// Calls visit(first anchor, IoUs, how many) for the blocks that the object reaches, or for all.
template <typename T, typename Visit>
void for_each_block(const Anchors<T>& anchors, const MatchBox<compute_t<T>>& gt, bool all, Visit visit) {
  compute_t<T> iou[kBlock];
  for (int64_t begin = 0; begin < anchors.count(); begin += kBlock) {
    if (all || reaches(gt.box, anchors.around[begin / kBlock])) {
      visit(begin, iou, anchors.block_ious(begin, gt, iou));
    }
  }
}

template <typename T>
void match_image(const MatchParams& p, const Anchors<T>& anchors, int64_t image,
                 std::vector<SecondPass<compute_t<T>>>& passes) {
  using C = compute_t<T>;
  const int64_t first = p.gt_offsets[image], end = p.gt_offsets[image + 1];
  C* object_best = static_cast<C*>(p.object_best);
  passes.assign(anchors.count(), SecondPass<C>{});
  const auto takes_part = [&](int64_t anchor) { return anchor_is_valid(p, image, anchor); };

  // The first object is met by every anchor: where IoUs are 0 the lowest row wins. So is one with a size that is not
  // finite, whose IoUs may be NaN.
  bool met = false;
  for (int64_t row = first; row < end; ++row) {
    const MatchBox<C> gt = measured_box<T>(p, p.gt_boxes, row);
    const bool finite = is_finite(gt.area) && is_finite(gt.box.x1 + gt.box.y1 + gt.box.x2 + gt.box.y2);
    C best = C(0);
    for_each_block(anchors, gt, !met || !finite, [&](int64_t begin, const C* iou, int64_t n) {
      for (int64_t k = 0; k < n; ++k) {
        if (takes_part(begin + k)) {
          meet(passes[begin + k].own, iou[k], row);
          best = iou[k] > best ? iou[k] : best;
        }
      }
    });
    object_best[row] = best;
    met |= finite;
  }
  for (int64_t row = first; row < end && p.low_quality != LowQuality::none; ++row) {
    const C best = object_best[row];
    if (best > C(0) || p.claim_zero_overlap) {
      const MatchBox<C> gt = measured_box<T>(p, p.gt_boxes, row);
      for_each_block(anchors, gt, !(best > C(0)), [&](int64_t begin, const C* iou, int64_t n) {
        for (int64_t k = 0; k < n; ++k) {
          if (ties_best(iou[k], best, p.claim_zero_overlap) && takes_part(begin + k)) {
            passes[begin + k].claimed = row;
          }
        }
      });
    }
  }
  for (int64_t i = 0; i < anchors.count(); ++i) {
    write_first_pass<T>(p, image, i, takes_part(i) ? passes[i].own : BestObject<C>{C(-1), -1});
    if (takes_part(i)) {
      const MatchBox<C> box{{anchors.x1[i], anchors.y1[i], anchors.x2[i], anchors.y2[i]}, anchors.area[i]};
      write_second_pass<T>(p, image, i, box, passes[i]);
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
  COLAD_DISPATCH_FLOATING(call.dtype, const Anchors<scalar_t> anchors(p); torch::stable::parallel_for(
                              0, p.images, kPairsAThread / pairs_an_image + 1, [&](int64_t begin, int64_t end) {
                                std::vector<SecondPass<compute_t<scalar_t>>> passes;
                                for (int64_t image = begin; image < end; ++image) {
                                  match_image(p, anchors, image, passes);
                                }
                              }));
  return {call.matched, call.iou};
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) { m.impl("match_anchors", TORCH_BOX(&colad::match_anchors)); }
