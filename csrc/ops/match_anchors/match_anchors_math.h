// Which object an anchor is matched to by largest IoU. Torch-free.
//
// Two passes over an image's objects, once for every anchor; the anchors x objects matrix is never stored:
//   1. best_object: the anchor's largest IoU and its object; meanwhile each object keeps its own best IoU over the
//   anchors.
//   2. claimed_by: does an object whose best IoU this anchor ties take it (`low_quality`)?
// Both passes evaluate the same expression, so the tie is exact.
#pragma once

#include "ops/iou/iou_math.h"

namespace colad {

enum class LowQuality { all, own, none };

template <typename T>
struct BestObject {
  T iou;        // largest IoU with any object of the image, -1 if there is none (or only NaN)
  int64_t row;  // the lowest row that reaches it, -1 if there is none
};

// Meets the object of `row`: a larger IoU wins. False for NaN, and for ties: the lowest row stays.
template <typename T>
COLAD_HD void meet(BestObject<T>& best, T iou, int64_t row) {
  if (iou > best.iou) {
    best = {iou, row};
  }
}

// Does an object with best IoU `best` take the anchor whose IoU with it is `iou`? An object that overlaps nothing takes
// nothing, unless the reference codes' defect is asked for, where it takes every anchor of IoU 0.
template <typename T>
COLAD_HD bool ties_best(T iou, T best, bool claim_zero_overlap) {
  return iou == best && (best > T(0) || claim_zero_overlap);
}

// The match after both passes: `claimed` is the last object in row order whose best IoU this anchor ties, or -1.
template <typename T>
COLAD_HD int64_t resolve_match(const BestObject<T>& own, int64_t claimed, T threshold, LowQuality low_quality) {
  if (claimed >= 0 && low_quality == LowQuality::all) {
    return claimed;
  }
  const bool claimed_own = claimed >= 0 && low_quality == LowQuality::own;
  return own.row >= 0 && (own.iou >= threshold || claimed_own) ? own.row : kBackground;
}

}  // namespace colad
