// Boxes in blocks. Each coordinate has an array of its own, so loops over a block are vectorised. Each block also has a
// bounding box. A box that does not reach the bounding box skips the whole block: all its overlaps there are 0.
#pragma once

#include <limits>
#include <memory>

#include "common/cpu_capability.h"
#include "ops/iou/iou_math.h"

namespace colad {

constexpr int64_t kBlockBoxes = 64;  // of anchors: some rows of a coarse level, a part of a row of a fine level

// Pointers to the arrays. Vectorised loops capture them by value.
template <typename C>
struct BoxBlocksView {
  C *x1, *y1, *x2, *y2, *area;     // one value a box; NaN pads the last block
  C *left, *top, *right, *bottom;  // one value a block: the bounding box of its boxes without NaN
  int64_t count, blocks;

  Box<C> box(int64_t i) const { return {x1[i], y1[i], x2[i], y2[i]}; }

  Box<C> around(int64_t block) const { return {left[block], top[block], right[block], bottom[block]}; }
};

// The smallest value of a block (the largest with sign -1), without NaN. Every step compares one half of the values
// with the other half, which is vectorised.
template <typename C>
C smallest_of_block(const C* values, C sign) {
  C least[kBlockBoxes];
  for (int64_t k = 0; k < kBlockBoxes; ++k) {
    const C value = sign * values[k];
    least[k] = value == value ? value : std::numeric_limits<C>::infinity();
  }
  for (int64_t half = kBlockBoxes / 2; half > 0; half /= 2) {
    for (int64_t k = 0; k < half; ++k) {
      least[k] = least[k + half] < least[k] ? least[k + half] : least[k];
    }
  }
  return sign * least[0];
}

template <typename C>
class BoxBlocks {
 public:
  // `load(i)` is the i-th box. Boxes whose `keep` is 0 become NaN; `keep` may be null.
  template <typename Load>
  BoxBlocks(int64_t count, Load load, const uint8_t* keep) {
    const int64_t blocks = (count + kBlockBoxes - 1) / kBlockBoxes, padded = blocks * kBlockBoxes;
    memory_ = std::make_unique_for_overwrite<C[]>(5 * padded + 4 * blocks);
    C* m = memory_.get();
    C* around = m + 5 * padded;
    const BoxBlocksView<C> v{m,      m + padded,      m + 2 * padded,      m + 3 * padded,      m + 4 * padded,
                             around, around + blocks, around + 2 * blocks, around + 3 * blocks, count,
                             blocks};
    view_ = v;
    vectorised([=] {
      constexpr C kNan = std::numeric_limits<C>::quiet_NaN();
      for (int64_t i = 0; i < count; ++i) {
        const Box<C> box = load(i);
        v.x1[i] = box.x1, v.y1[i] = box.y1, v.x2[i] = box.x2, v.y2[i] = box.y2;
      }
      for (int64_t i = count; i < padded; ++i) {
        v.x1[i] = v.y1[i] = v.x2[i] = v.y2[i] = kNan;
      }
      for (int64_t i = 0; keep != nullptr && i < count; ++i) {
        const C add = keep[i] != 0 ? C(0) : kNan;
        v.x1[i] += add, v.y1[i] += add, v.x2[i] += add, v.y2[i] += add;
      }
      for (int64_t i = 0; i < padded; ++i) {
        v.area[i] = box_area(v.box(i));
      }
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t begin = b * kBlockBoxes;
        v.left[b] = smallest_of_block(v.x1 + begin, C(1)), v.right[b] = smallest_of_block(v.x2 + begin, C(-1));
        v.top[b] = smallest_of_block(v.y1 + begin, C(1)), v.bottom[b] = smallest_of_block(v.y2 + begin, C(-1));
      }
    });
  }

  // Makes every box reach every block that holds NaN. Callers need this if their result must be NaN for a box with NaN:
  // without it the block may be skipped and the result is 0.
  void let_every_box_reach_nan() {
    vectorised([v = view_] {
      constexpr C kInfinity = std::numeric_limits<C>::infinity();
      for (int64_t b = 0; b < v.blocks; ++b) {
        const int64_t begin = b * kBlockBoxes, end = begin + kBlockBoxes < v.count ? begin + kBlockBoxes : v.count;
        int nan = 0;
        for (int64_t i = begin; i < end; ++i) {
          nan |= v.area[i] != v.area[i];
        }
        if (nan != 0) {
          v.left[b] = v.top[b] = -kInfinity, v.right[b] = v.bottom[b] = kInfinity;
        }
      }
    });
  }

  const BoxBlocksView<C>& view() const { return view_; }

 private:
  std::unique_ptr<C[]> memory_;
  BoxBlocksView<C> view_;
};

}  // namespace colad
