// The objects of one image on the CPU, laid out for vectorised tests against a block of anchors.
#pragma once

#include <type_traits>
#include <vector>

#include "ops/iou/box_blocks.h"
#include "ops/match_anchors/match_anchors.h"

namespace colad {

// This many objects of an image are tested against a block at a time. Each has one bit of a mask.
constexpr int64_t kTestedObjects = 32;

// Integers as wide as C. A vector of rows then has as many elements as a vector of IoUs.
template <typename C>
using bits_t = std::conditional_t<sizeof(C) == 8, int64_t, int32_t>;

// The objects of an image that can match an anchor, and what the first pass finds of each.
template <typename C>
struct MatchObjects {
  struct Object {
    Box<C> box;
    C area;
    bits_t<C> row;                    // within the image
    C best;                           // the largest IoU with an anchor, at least 0
    int64_t first_block, last_block;  // the first and the last block that hold an anchor with IoU `best`
  };
  std::vector<Object> objects;
  std::vector<C> x1, y1, x2, y2;     // the boxes again, an array a coordinate; the padding boxes reach nothing
  std::vector<uint32_t> everywhere;  // a bit is set if the object must be compared with every block
};

namespace match_anchors_cpu {

// Whether an IoU of 0 can give a match. Then not all blocks that an object does not reach may be skipped.
inline bool zero_matters(const MatchParams& p) { return p.options.iou_threshold <= 0 || p.options.claim_zero_overlap; }

// If an IoU of 0 matters: among objects of IoU 0 the lowest row wins. So every anchor must be compared with the first
// finite object, and with the objects before it, whose IoUs are 0 or NaN.
template <typename T>
void collect_objects(const MatchParams& p, int64_t image, MatchObjects<compute_t<T>>& found) {
  using C = compute_t<T>;
  constexpr C kInfinity = std::numeric_limits<C>::infinity();
  found.objects.clear();
  found.everywhere.clear();
  bool met = !zero_matters(p);
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
    if (zero_matters(p) && (!met || !finite)) {
      found.everywhere.back() |= 1u << at % kTestedObjects;
    }
    met |= finite;
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
