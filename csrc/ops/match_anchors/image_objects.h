// The objects of one image on the CPU. Each coordinate has an array of its own, so that one vector instruction tests
// several objects against a block of anchors.
#pragma once

#include <type_traits>
#include <vector>

#include "ops/iou/box_blocks.h"
#include "ops/match_anchors/match_anchors.h"

namespace colad {

// Objects that are tested against a block at a time. Each has one bit in a mask.
constexpr int64_t kTestedObjects = 32;

// An integer as wide as C. Loops over anchors keep rows in it, next to IoUs: a vector then holds as many rows as IoUs.
template <typename C>
using bits_t = std::conditional_t<sizeof(C) == 8, int64_t, int32_t>;

// The objects of an image that may match an anchor, and the results of the first pass for them.
template <typename C>
struct MatchObjects {
  struct Object {
    Box<C> box;
    C area;
    bits_t<C> row;                    // counted from the image's first object
    C best;                           // its largest IoU with an anchor, at least 0
    int64_t first_block, last_block;  // the first and the last block that reach `best`
  };
  std::vector<Object> objects;
  std::vector<C> x1, y1, x2, y2;     // coordinates of `objects`, padded with boxes that reach nothing
  std::vector<uint32_t> everywhere;  // masks of the objects that no block may skip
};

namespace match_anchors_cpu {

template <typename T>
void collect_objects(const MatchParams& p, int64_t image, MatchObjects<compute_t<T>>& found) {
  using C = compute_t<T>;
  constexpr C kInfinity = std::numeric_limits<C>::infinity();
  found.objects.clear();
  found.everywhere.clear();
  const bool everywhere = zero_matters(p.options);
  bool finite_before = false;
  const int64_t first = p.gt_offsets[image], end = p.gt_offsets[image + 1];
  for (int64_t row = first; row < end; ++row) {
    const MatchBox<C> gt = measured_box<T>(p, p.gt_boxes, row);
    if (gt.area != gt.area) {
      continue;
    }
    const size_t at = found.objects.size();
    if (at % kTestedObjects == 0) {
      found.everywhere.push_back(0);
    }
    const bool finite = is_finite(gt.box);
    if (everywhere && is_met_everywhere(finite, finite_before)) {
      found.everywhere.back() |= 1u << at % kTestedObjects;
    }
    finite_before |= finite;
    found.objects.push_back({gt.box, gt.area, static_cast<bits_t<C>>(row - first), C(0), 0, -1});
  }
  const size_t padded = found.everywhere.size() * kTestedObjects;
  found.x1.assign(padded, kInfinity), found.y1.assign(padded, kInfinity);
  found.x2.assign(padded, -kInfinity), found.y2.assign(padded, -kInfinity);
  for (size_t i = 0; i < found.objects.size(); ++i) {
    const Box<C>& box = found.objects[i].box;
    found.x1[i] = box.x1, found.y1[i] = box.y1, found.x2[i] = box.x2, found.y2[i] = box.y2;
  }
}

}  // namespace match_anchors_cpu

}  // namespace colad
