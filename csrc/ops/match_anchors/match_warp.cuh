// A warp and its 32 anchors: the box around them (the hull), and the objects that reach it.
//
// The warp takes 32 objects at a time, one a lane. Every lane tests its object against the hull, so an object that does
// not reach it costs almost nothing. The objects lie in shared memory, and all lanes meet those that reach the hull,
// one after the other.
#pragma once

#include <limits>

#include "common/reduce.cuh"
#include "ops/match_anchors/match_anchors.h"

namespace colad {

// The bits of a number as an integer. Integers of numbers >= 0 have the order of the numbers.
__device__ inline int bits_of(float value) { return __float_as_int(value); }
__device__ inline long long bits_of(double value) { return __double_as_longlong(value); }
__device__ inline float value_of(int bits) { return __int_as_float(bits); }
__device__ inline double value_of(long long bits) { return __longlong_as_double(bits); }

template <typename C>
using Bits = decltype(bits_of(C(0)));

// For negative numbers the order of the bits is reversed. This function reverses it again, and is its own inverse.
template <typename B>
__device__ B in_order(B bits) {
  return bits ^ ((bits >> (8 * sizeof(B) - 1)) & std::numeric_limits<B>::max());
}

// The maximum of the warp, in every lane.
__device__ inline int warp_max(int value) { return __reduce_max_sync(kFullMask, value); }

__device__ inline long long warp_max(long long value) {
  const int high = static_cast<int>(value >> 32);
  const int top = __reduce_max_sync(kFullMask, high);
  const unsigned low = __reduce_max_sync(kFullMask, high == top ? static_cast<unsigned>(value) : 0u);
  return (static_cast<long long>(top) << 32) | low;
}

template <typename C>
__device__ C largest_of_warp(C value) {
  return value_of(in_order(warp_max(in_order(bits_of(value)))));
}

// The box around the boxes of all lanes.
template <typename C>
__device__ Box<C> hull_of_warp(const Box<C>& box) {
  return {-largest_of_warp(-box.x1), -largest_of_warp(-box.y1), largest_of_warp(box.x2), largest_of_warp(box.y2)};
}

// An object as a warp meets it. `tie`: the object claims the anchors of this IoU. -1: it claims none.
template <typename C>
struct MetObject {
  MatchBox<C> box;
  C tie;
};

// The 32 objects of a warp, in shared memory. An object is read in two wide loads, in double in three.
template <typename C>
class WarpObjects {
 public:
  // Every lane writes its object. The barriers: no lane reads the objects before any more, and all can read these.
  __device__ void write(const MetObject<C>& object) {
    const Box<C>& b = object.box.box;
    __syncwarp();
    objects_[threadIdx.x % kWarp] = {{b.x1, b.y1, b.x2, b.y2}, {object.box.area, object.tie}};
    __syncwarp();
  }

  // Visits the objects of the lanes in `met`, in order, two at a time: a warp then waits for both at once. The last may
  // be alone. Calls visit(lanes, objects) with arrays of two, or of one. All lanes make all visits.
  template <typename Visit>
  __device__ void for_each(unsigned met, Visit visit) const {
    unsigned left = met;
    while ((left & (left - 1)) != 0) {
      const int first = take_lane(left), second = take_lane(left);
      const int lanes[] = {first, second};
      const MetObject<C> objects[] = {read(first), read(second)};
      visit(lanes, objects);
    }
    if (left != 0) {
      const int lanes[] = {take_lane(left)};
      const MetObject<C> objects[] = {read(lanes[0])};
      visit(lanes, objects);
    }
  }

 private:
  struct alignas(2 * sizeof(C)) Values {
    C area, tie;
  };
  struct Stored {
    StoredBox<C> box;
    Values values;
  };
  // Takes the lowest lane out of the mask.
  __device__ static int take_lane(unsigned& left) {
    const int lane = __ffs(static_cast<int>(left)) - 1;
    left &= left - 1;
    return lane;
  }

  __device__ MetObject<C> read(int lane) const {
    const StoredBox<C> b = objects_[lane].box;
    const Values values = objects_[lane].values;
    return {{{b.x1, b.y1, b.x2, b.y2}, values.area}, values.tie};
  }

  Stored objects_[kWarp];
};

// match_iou of one anchor with each of the objects.
template <typename C, int count>
__device__ void match_ious(const MetObject<C> (&objects)[count], const MatchBox<C>& anchor, C (&ious)[count]) {
  C overlaps[count];
  for (int i = 0; i < count; ++i) {
    overlaps[i] = match_overlap(objects[i].box, anchor);
  }
  for (int i = 0; i < count; ++i) {
    ious[i] = match_iou(overlaps[i], objects[i].box, anchor);
  }
}

}  // namespace colad
