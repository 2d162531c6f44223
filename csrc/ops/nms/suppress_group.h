// Greedy suppression within one group on the CPU. Boxes are visited by descending score. Every decision is the
// comparison of nms_math.h in the same arithmetic, so the kept boxes do not depend on the way the pairs are found.
//
// A small group compares each kept box with all boxes after it. A large one is put into blocks of boxes that are near
// to each other and of about one size (box_blocks.h). A kept box is compared only with the blocks that may hold a box
// with an IoU above the threshold.
#pragma once

#include <cstring>

#include "ops/iou/box_blocks.h"
#include "ops/nms/nms_math.h"
#include "ops/nms/radix_sort.h"

namespace colad {

namespace suppression {

constexpr int64_t kLanes = 16;  // boxes of a step: a multiple of the floats of a vector

template <typename C>
struct FlagOf {
  using type = int32_t;
};

template <>
struct FlagOf<double> {
  using type = int64_t;
};

template <typename C>
using Flag = typename FlagOf<C>::type;  // as wide as a coordinate, so that a loop over both needs no conversion

inline int64_t padded_to_lanes(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

// Marks the boxes begin..end-1 that `kept` suppresses. `kept` holds no NaN; end - begin is a multiple of kLanes.
template <typename C>
inline void mark(const Box<C>& kept, C area, const C* x1, const C* y1, const C* x2, const C* y2, const C* areas,
                 Flag<C>* dropped, int64_t begin, int64_t end, C threshold) {
  for (int64_t i = begin; i < end; i += kLanes) {
    for (int64_t k = i; k < i + kLanes; ++k) {
      const C iou = iou_of<MayBeNan::second>(kept, area, Box<C>{x1[k], y1[k], x2[k], y2[k]}, areas[k]);
      dropped[k] |= iou > threshold ? Flag<C>(1) : Flag<C>(0);
    }
  }
}

// What a block has to reach before its boxes are compared with a kept box of the given area.
//
// The computed overlap of two boxes is at most the computed overlap with the box around the block, and at most each
// area, because rounding is monotone. The computed union is at least each area, up to 4 rounding errors. So where the
// computed IoU is above a threshold >= 0, the overlap with the block is above 0 and at least threshold * area of both
// boxes. kSlack covers the rounding errors of this product; the smallest normal number covers a subnormal product.
template <typename C>
struct BlockBounds {
  C *left, *top, *right, *bottom, *least_area, *largest_area;  // one value a block
  int64_t padded;                                              // a multiple of kLanes

  static constexpr C kSlack = C(1) - C(1) / C(1 << 16);
};

template <typename C>
inline void find_blocks(const Box<C>& kept, C area, const BlockBounds<C>& bounds, C threshold, uint8_t* found) {
  constexpr C kTiny = std::numeric_limits<C>::min();
  const C share = threshold * BlockBounds<C>::kSlack;
  for (int64_t i = 0; i < bounds.padded; i += kLanes) {
    for (int64_t b = i; b < i + kLanes; ++b) {
      const Box<C> around{bounds.left[b], bounds.top[b], bounds.right[b], bounds.bottom[b]};
      const C overlap = box_overlap<MayBeNan::second>(kept, around);
      const C larger_area = bounds.least_area[b] > area ? bounds.least_area[b] : area;
      const bool cannot =
          (overlap <= C(0)) | (overlap < share * larger_area - kTiny) | (bounds.largest_area[b] < share * area - kTiny);
      found[b] = cannot ? 0 : 1;
    }
  }
}

// Where the boxes of a group lie and how large they are, as a key: boxes with near keys share a block.
template <typename C>
class NearbyKey {
 public:
  template <typename Load>
  NearbyKey(int64_t count, Load box) {
    for (int64_t i = 0; i < count; ++i) {
      const Box<C> b = box(i);
      if (is_finite(b)) {
        const C x = centre(b.x1, b.x2), y = centre(b.y1, b.y2);
        left_ = x < left_ ? x : left_, right_ = x > right_ ? x : right_;
        top_ = y < top_ ? y : top_, bottom_ = y > bottom_ ? y : bottom_;
      }
    }
  }

  uint32_t operator()(const Box<C>& b) const {
    if (!is_finite(b)) {
      return 0;
    }
    const uint32_t octave = std::bit_cast<uint32_t>(static_cast<float>(box_area(b))) >> 23;
    const uint32_t x = cell(centre(b.x1, b.x2), left_, right_), y = cell(centre(b.y1, b.y2), top_, bottom_);
    return octave << 16 | spread(y) << 1 | spread(x);
  }

 private:
  static C centre(C low, C high) { return low / C(2) + high / C(2); }

  static uint32_t cell(C at, C low, C high) {
    constexpr C kCells = 255;
    const C part = (at - low) / (high - low) * kCells;
    return part > C(0) && part < kCells ? static_cast<uint32_t>(part) : (part >= kCells ? 255 : 0);
  }

  // The 8 bits of a number with a gap of one bit after each: two such numbers make a place on a Z-order curve.
  static uint32_t spread(uint32_t x) {
    x = (x | x << 4) & 0x0f0f;
    x = (x | x << 2) & 0x3333;
    return (x | x << 1) & 0x5555;
  }

  static constexpr C kInfinity = std::numeric_limits<C>::infinity();
  C left_ = kInfinity, top_ = kInfinity, right_ = -kInfinity, bottom_ = -kInfinity;
};

// A group of up to this many boxes is compared pair by pair.
constexpr int64_t kSmallGroup = 320;

template <typename C>
class SmallGroup {
 public:
  template <typename Load>
  void operator()(int64_t count, Load box, C threshold, uint8_t* keep) {
    const int64_t padded = padded_to_lanes(count);
    if (padded > capacity_) {
      capacity_ = padded;
      coordinates_ = std::make_unique_for_overwrite<C[]>(5 * padded);
      dropped_ = std::make_unique_for_overwrite<Flag<C>[]>(padded);
    }
    C* const x1 = coordinates_.get();
    C *const y1 = x1 + padded, *const x2 = y1 + padded, *const y2 = x2 + padded, *const areas = y2 + padded;
    Flag<C>* const dropped = dropped_.get();
    for (int64_t i = 0; i < count; ++i) {
      const Box<C> b = box(i);
      x1[i] = b.x1, y1[i] = b.y1, x2[i] = b.x2, y2[i] = b.y2;
    }
    for (int64_t i = count; i < padded; ++i) {
      x1[i] = y1[i] = x2[i] = y2[i] = std::numeric_limits<C>::quiet_NaN();
    }
    vectorised([=] {
      for (int64_t i = 0; i < padded; ++i) {
        areas[i] = box_area(Box<C>{x1[i], y1[i], x2[i], y2[i]});
        dropped[i] = 0;
      }
      for (int64_t i = 0; i < count; ++i) {
        keep[i] = dropped[i] == 0;
        const Box<C> kept{x1[i], y1[i], x2[i], y2[i]};
        if (dropped[i] == 0 && !has_nan(kept)) {
          mark(kept, areas[i], x1, y1, x2, y2, areas, dropped, (i + 1) / kLanes * kLanes, padded, threshold);
        }
      }
    });
  }

 private:
  std::unique_ptr<C[]> coordinates_;
  std::unique_ptr<Flag<C>[]> dropped_;
  int64_t capacity_ = 0;
};

template <typename C, typename Load>
void suppress_large_group(int64_t count, Load box, C threshold, uint8_t* keep) {
  std::vector<KeyedRow<uint32_t>> slots(count), spare;
  const NearbyKey<C> key(count, box);
  for (int64_t i = 0; i < count; ++i) {
    slots[i] = {key(box(i)), static_cast<uint32_t>(i)};
  }
  sort_by_key(slots, spare);
  std::vector<uint32_t> slot_of(count);
  for (int64_t s = 0; s < count; ++s) {
    slot_of[slots[s].row] = static_cast<uint32_t>(s);
  }
  const BoxBlocks<C> boxes(count, [&](int64_t s) { return box(slots[s].row); }, nullptr);
  const BoxBlocksView<C> v = boxes.view();
  const int64_t padded = padded_to_lanes(v.blocks);
  std::vector<C> memory(6 * padded, std::numeric_limits<C>::infinity());
  C* const m = memory.data();
  const BlockBounds<C> bounds{m, m + padded, m + 2 * padded, m + 3 * padded, m + 4 * padded, m + 5 * padded, padded};
  std::vector<uint8_t> found(padded);
  std::vector<Flag<C>> dropped(v.blocks * kBlockBoxes);
  vectorised([=, slot_of = slot_of.data(), found = found.data(), dropped = dropped.data()] {
    for (int64_t b = 0; b < v.blocks; ++b) {
      const C* const areas = v.area + b * kBlockBoxes;
      bounds.left[b] = v.left[b], bounds.top[b] = v.top[b];
      bounds.right[b] = v.right[b], bounds.bottom[b] = v.bottom[b];
      bounds.least_area[b] = smallest_of_block(areas, C(1));
      bounds.largest_area[b] = smallest_of_block(areas, C(-1));
    }
    for (int64_t i = 0; i < count; ++i) {
      const int64_t s = slot_of[i];
      keep[i] = dropped[s] == 0;
      const Box<C> kept = v.box(s);
      if (dropped[s] != 0 || has_nan(kept)) {
        continue;
      }
      find_blocks(kept, v.area[s], bounds, threshold, found);
      for (int64_t eight = 0; eight < padded; eight += 8) {
        uint64_t some;
        std::memcpy(&some, found + eight, sizeof(some));
        // The bounds that pad the arrays can be found for an infinite box: there are no such blocks.
        for (int64_t b = eight; some != 0 && b < eight + 8 && b < v.blocks; ++b) {
          if (found[b] != 0) {
            mark(kept, v.area[s], v.x1, v.y1, v.x2, v.y2, v.area, dropped, b * kBlockBoxes, (b + 1) * kBlockBoxes,
                 threshold);
          }
        }
      }
    }
  });
}

}  // namespace suppression

// Suppression in one group after the other; the memory of small groups is used again.
template <typename C>
class SuppressGroup {
 public:
  explicit SuppressGroup(double iou_threshold) : threshold_(threshold_in<C>(iou_threshold)) {}

  // `box(i)` is the box of the group with the i-th highest score. Writes whether it is kept to keep[i].
  template <typename Load>
  void operator()(int64_t count, Load box, uint8_t* keep) {
    // The bounds of blocks assume that boxes without overlap do not suppress each other.
    if (count > suppression::kSmallGroup && threshold_ >= C(0)) {
      suppression::suppress_large_group<C>(count, box, threshold_, keep);
    } else {
      small_(count, box, threshold_, keep);
    }
  }

 private:
  C threshold_;
  suppression::SmallGroup<C> small_;
};

}  // namespace colad
