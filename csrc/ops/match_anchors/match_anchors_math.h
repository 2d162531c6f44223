// Which object an anchor is matched to, by the largest IoU. Torch-free.
//
// Every anchor goes twice over the objects of its image. The anchors x objects matrix is never stored:
//   1. The anchor finds its largest IoU and the object that has it. Each object finds its best IoU with any anchor.
//   2. An object claims the anchors whose IoU with it equals its best IoU (`low_quality`).
// Both passes evaluate the same expression, so a tie is exact.
//
// CPU and CUDA share the rules: is_own_match, claimed_match, ties_best and is_ignored. Only the search for the largest
// IoU exists twice. CUDA calls meet for one object after the other. The loop of the CPU in match_anchors_cpu.h uses
// integers for a block of anchors, so that the compiler can vectorise it. python_tests/simt compares the two bit for
// bit on every case of the operator.
#pragma once

#include "ops/iou/iou_math.h"
#include "ops/match_anchors/match_codes.h"

namespace colad {

enum class LowQuality { all, own, none };

struct MatchOptions {
  double iou_threshold;  // an anchor's IoU with its own best object must be at least this
  LowQuality low_quality;
  double ignore_iof;  // a background anchor is ignored if at least this share of it lies in an ignore box
  bool claim_zero_overlap;
  bool inclusive_corners;
};

template <typename T>
struct BestObject {
  T iou;        // the largest IoU with any object of the image, -1 if there is none (or only NaN)
  int64_t row;  // the lowest row with this IoU, -1 if there is none
};

// Compares the anchor's best object with the object of `row`: a larger IoU wins. At a tie or for NaN the old one stays.
template <typename T>
COLAD_HD void meet(BestObject<T>& best, T iou, int64_t row) {
  if (iou > best.iou) {
    best = {iou, row};
  }
}

// Whether an object with best IoU `best` claims the anchor whose IoU with it is `iou`. An object that overlaps no
// anchor claims none. With `claim_zero_overlap`, a defect of the reference codes, it claims every anchor of IoU 0.
template <typename T>
COLAD_HD bool ties_best(T iou, T best, bool claim_zero_overlap) {
  return iou == best && (best > T(0) || claim_zero_overlap);
}

// Whether the anchor is matched to its own best object.
template <typename T>
COLAD_HD bool is_own_match(const BestObject<T>& own, T threshold) {
  return own.row >= 0 && own.iou >= threshold;
}

// The match of an anchor that object `claimed` claims. `own_row` is the anchor's own best object.
COLAD_HD int64_t claimed_match(int64_t own_row, int64_t claimed, LowQuality low_quality) {
  if (low_quality == LowQuality::all) {
    return claimed;
  }
  return own_row >= 0 ? own_row : kBackground;
}

// The match after both passes. `claimed` is the last object in row order that claims this anchor, or -1.
template <typename T>
COLAD_HD int64_t resolve_match(const BestObject<T>& own, int64_t claimed, T threshold, LowQuality low_quality) {
  if (claimed >= 0 && low_quality != LowQuality::none) {
    return claimed_match(own.row, claimed, low_quality);
  }
  return is_own_match(own, threshold) ? own.row : kBackground;
}

// Whether a large enough share of an anchor lies in an ignore box. Only background anchors are tested.
template <MayBeNan nan = MayBeNan::either, typename T>
COLAD_HD bool is_ignored(const Box<T>& ignore, const Box<T>& anchor, T anchor_area, T ignore_iof) {
  return ratio(box_overlap<nan>(ignore, anchor), anchor_area) >= ignore_iof;
}

}  // namespace colad
