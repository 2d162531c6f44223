// The candidates of the objects of an assignment: the matched anchors, level by level, whose cost is a finite number.
// split_candidates, cost_statistics and select_costs share the checks of this header.
#pragma once

#include "common/allocate.h"
#include "common/level_views.h"
#include "common/ragged.h"
#include "ops/split_candidates/split_candidates_math.h"

namespace colad {

struct CandidateParams {
  const float* cost;
  const int64_t *matched, *gt_offsets;
  int64_t images, anchor_count, objects;
  int64_t level_begin[kMaxLevels + 1];
  int levels;

  // Whether the anchor is a candidate of object `row`: matched to it, with a finite cost.
  COLAD_HD bool is_candidate(int64_t image, int64_t anchor, int64_t row) const {
    const int64_t i = image * anchor_count + anchor;
    return matched[i] == row && is_finite(cost[i]);
  }
};

// Checks the levels and writes the first anchor of each, and the end of the last. Returns the number of levels.
inline int level_begins(const std::vector<int64_t>& level_sizes, int64_t anchors, int64_t* begin) {
  check(level_sizes.size() >= 1 && level_sizes.size() <= kMaxLevels, "level_sizes should have 1 to ", kMaxLevels,
        " levels, got ", level_sizes.size());
  const int levels = static_cast<int>(level_sizes.size());
  begin[0] = 0;
  for (int l = 0; l < levels; ++l) {
    check(level_sizes[l] >= 0, "level_sizes should be >= 0, got ", level_sizes[l], " at level ", l);
    check(level_sizes[l] <= anchors - begin[l], "level_sizes should sum to the number of anchors ", anchors,
          ", got more, with ", level_sizes[l], " at level ", l);
    begin[l + 1] = begin[l] + level_sizes[l];
  }
  check(begin[levels] == anchors, "level_sizes should sum to the number of anchors ", anchors, ", got ", begin[levels]);
  return levels;
}

// `cost` is (B, A). If `networks` is given, `cost` is (K, B, A) and K is written to it.
inline CandidateParams candidate_contract(const Tensor& cost, const Tensor& matched, const Tensor& gt_offsets,
                                          const std::vector<int64_t>& level_sizes, int64_t objects,
                                          int64_t* networks = nullptr) {
  CandidateParams p{};
  if (networks == nullptr) {
    check_shape(cost, "cost", {-1, -1}, "(B, A)");
  } else {
    check_shape(cost, "cost", {-1, -1, -1}, "(B, A) or (K, B, A)");
    *networks = cost.size(0);
  }
  check_dtype(cost, "cost", ScalarType::Float);
  p.images = cost.size(cost.dim() - 2);
  p.anchor_count = cost.size(cost.dim() - 1);
  check_shape(matched, "matched", {p.images, p.anchor_count}, "(B, A), as cost");
  check_dtype(matched, "matched", ScalarType::Long);
  check_same_device(matched, "matched", cost, "cost");
  check(objects >= 0, "num_objects should be >= 0, got ", objects);
  const int64_t images = check_offsets(gt_offsets, "gt_offsets", objects, cost, "cost");
  check(images == p.images, "gt_offsets should have one row an image and one more, ", p.images + 1, ", got ",
        images + 1);
  check(p.anchor_count <= int64_t(UINT32_MAX), "cost should have fewer than 2^32 anchors an image, got ",
        p.anchor_count);
  p.levels = level_begins(level_sizes, p.anchor_count, p.level_begin);
  p.objects = objects;
  if (gt_offsets.is_cpu()) {  // the check comes before any allocation for that many objects
    const Tensor offsets = as_contiguous(gt_offsets);
    check_offsets_ascend(static_cast<const int64_t*>(offsets.data_ptr()), p.images, objects, "gt_offsets");
  }
  return p;
}

inline void point_at_inputs(CandidateParams& p, const Tensor& cost, const Tensor& matched, const Tensor& gt_offsets) {
  p.cost = static_cast<const float*>(cost.data_ptr());
  p.matched = static_cast<const int64_t*>(matched.data_ptr());
  p.gt_offsets = static_cast<const int64_t*>(gt_offsets.data_ptr());
}

}  // namespace colad
