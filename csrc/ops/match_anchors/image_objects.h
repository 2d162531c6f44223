// The objects of one image on the CPU, laid out to be tested against a block of anchors side by side.
#pragma once

#include <type_traits>
#include <vector>

#include "ops/iou/box_blocks.h"
#include "ops/match_anchors/match_anchors.h"

namespace colad {

// Objects of an image are tested against a block this many at a time, a bit of a mask for each.
constexpr int64_t kTestedObjects = 32;

// Integers as wide as C. A row inside the image is one, next to the IoU that it reaches.
template <typename C>
using bits_t = std::conditional_t<sizeof(C) == 8, int64_t, int32_t>;

// The objects of an image that may match something, and what is found of them.
template <typename C>
struct MatchObjects {
  struct Object {
    Box<C> box;
    C area;
    bits_t<C> row;                    // inside the image
    C best;                           // its largest IoU with an anchor, at least 0
    int64_t first_block, last_block;  // where `best` was reached
  };
  std::vector<Object> objects;
  std::vector<C> x1, y1, x2, y2;     // again, to be tested side by side; filled up with boxes that reach nothing
  std::vector<uint32_t> everywhere;  // bits of the objects that every block is to meet
};

namespace match_anchors_cpu {

// Does an IoU of 0 matter, so that blocks which an object does not reach may not all be skipped?
inline bool zero_matters(const MatchParams& p) { return p.options.iou_threshold <= 0 || p.options.claim_zero_overlap; }

// The lowest row wins where IoUs are 0, so the first object that is finite meets every anchor, and so do those before
// it, whose IoUs are 0 or NaN.
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
