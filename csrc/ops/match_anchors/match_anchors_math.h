// Rule that matches each anchor to an object by the largest IoU. Torch-free.
//
// Two passes over an image's objects for every anchor; the anchors x objects matrix is never stored:
//   1. The anchor finds its best object, the one of the largest IoU. Each object finds its best IoU with any anchor.
//   2. An object takes the anchors whose IoU with it ties its best IoU (`low_quality`).
// Both passes evaluate the same expression, so a tie is exact.
//
// CPU and CUDA share the rule: is_own_match, match_after_claim, ties_best, is_met_everywhere and is_ignored. Two things
// are written twice. The largest IoU: CUDA calls `meet` for one object after the other, the CPU's loop in
// match_anchors_cpu.h updates a block of anchors with integers, which the compiler can vectorise. The order of the
// steps: CUDA finds only the objects' best IoUs in the first pass, and calls resolve_match in the second for an anchor
// that has met all objects; the CPU matches all anchors in the first, and then lets the objects claim theirs.
// python_tests/simt compares the two on every case of the operator, bit for bit.
#pragma once

#include "ops/iou/iou_math.h"
#include "ops/match_anchors/match_codes.h"

namespace colad {

enum class LowQuality { all, own, none };

struct MatchOptions {
  double iou_threshold;  // an anchor needs this IoU to match its own best object
  LowQuality low_quality;
  double ignore_iof;  // a background anchor is ignored if at least this share of it lies in an ignore box
  bool claim_zero_overlap;
  bool inclusive_corners;
};

// Anchors are met in groups: blocks on the CPU, warps on CUDA. A group skips an object that does not reach the box
// around its anchors, as if that object had not been there: all IoUs would be 0. That is exact unless an IoU of 0 can
// decide.
COLAD_HD bool zero_matters(const MatchOptions& options) {
  return options.iou_threshold <= 0 || options.claim_zero_overlap;
}

// If it can, two kinds of objects are not skipped. The first finite one: an anchor whose IoUs are all 0 belongs to the
// lowest row. And those that are not finite: their IoU is 0 or NaN, whether they reach the group or not.
COLAD_HD bool is_met_everywhere(bool finite, bool finite_before) { return !finite || !finite_before; }

template <typename T, typename Row = int64_t>
struct BestObject {
  T iou;    // the largest IoU with any object of the image; -1 if there is none, or only NaN
  Row row;  // the lowest row with this IoU, -1 if there is none
};

// Updates `best` with the object of `row`. A larger IoU wins. NaN does not win, nor does a tie: the lowest row stays.
template <typename T, typename Row>
COLAD_HD void meet(BestObject<T, Row>& best, T iou, Row row) {
  if (iou > best.iou) {
    best = {iou, row};
  }
}

// Whether an object with the best IoU `best` takes an anchor whose IoU with it is `iou`. An object that overlaps no
// anchor takes no anchor. With `claim_zero_overlap`, a defect of the reference codes, it takes every anchor of IoU 0.
template <typename T>
COLAD_HD bool ties_best(T iou, T best, bool claim_zero_overlap) {
  return iou == best && (best > T(0) || claim_zero_overlap);
}

// Whether the anchor is matched to its own best object.
template <typename T, typename Row>
COLAD_HD bool is_own_match(const BestObject<T, Row>& own, T threshold) {
  return own.row >= 0 && own.iou >= threshold;
}

// The match of an anchor that ties the best IoU of object `claimed`. `own_row` is the row of the anchor's own best
// object.
template <typename Row>
COLAD_HD Row match_after_claim(Row own_row, Row claimed, LowQuality low_quality) {
  if (low_quality == LowQuality::all) {
    return claimed;
  }
  return own_row >= 0 ? own_row : static_cast<Row>(kBackground);
}

// The match after both passes. `claimed` is the last object, in row order, whose best IoU this anchor ties, or -1.
template <typename T, typename Row>
COLAD_HD Row resolve_match(const BestObject<T, Row>& own, Row claimed, T threshold, LowQuality low_quality) {
  if (claimed >= 0 && low_quality != LowQuality::none) {
    return match_after_claim(own.row, claimed, low_quality);
  }
  return is_own_match(own, threshold) ? own.row : static_cast<Row>(kBackground);
}

// Whether a large enough share of an anchor lies in an ignore box. Only background anchors are tested.
template <MayBeNan nan = MayBeNan::either, typename T>
COLAD_HD bool is_ignored(const Box<T>& ignore, const Box<T>& anchor, T anchor_area, T ignore_iof) {
  return ratio(box_overlap<nan>(ignore, anchor), anchor_area) >= ignore_iof;
}

}  // namespace colad
