// Blocks of pairs of boxes on the CPU: their values and their derivatives. Each coordinate has an array of its own, so
// the loops over a block are vectorised. Bodies of vectorised() call this.
#pragma once

#include "ops/iou/iou_backward_math.h"

namespace colad {

template <IouMode mode, typename C>
struct PairBlock {
  static constexpr int64_t kPairs = 64;  // 4 vectors of the widest kind; a block stays in the L1 cache

  struct Boxes {
    C x1[kPairs], y1[kPairs], x2[kPairs], y2[kPairs];

    Box<C> at(int64_t k) const { return {x1[k], y1[k], x2[k], y2[k]}; }
    void set(int64_t k, const Box<C>& box) { x1[k] = box.x1, y1[k] = box.y1, x2[k] = box.x2, y2[k] = box.y2; }
  };

  Boxes first, second, d_first, d_second;
  C value[kPairs], grad[kPairs];

  // Sets value[0..count) from the boxes.
  void compute(int64_t count) {
    measure_angles(count);
    for (int64_t k = 0; k < count; ++k) {
      value[k] = box_iou(measured(first, first_angle, k), measured(second, second_angle, k), mode);
    }
  }

  // Sets d_first and d_second from the boxes and from grad.
  void differentiate(int64_t count) {
    measure_angles(count);
    for (int64_t k = 0; k < count; ++k) {
      Box<C> d1{}, d2{};
      box_iou_backward(measured(first, first_angle, k), measured(second, second_angle, k), mode, grad[k], d1, d2);
      d_first.set(k, d1), d_second.set(k, d2);
    }
  }

 private:
  C first_angle[kPairs], second_angle[kPairs];  // only for ciou

  // In a loop of its own: atan2 is not vectorised, and no loop that calls it is.
  void measure_angles(int64_t count) {
    for (int64_t k = 0; mode == IouMode::ciou && k < count; ++k) {
      first_angle[k] = aspect_angle(first.at(k)), second_angle[k] = aspect_angle(second.at(k));
    }
  }

  static MeasuredBox<C> measured(const Boxes& boxes, const C* angle, int64_t k) {
    return {boxes.at(k), box_area(boxes.at(k)), mode == IouMode::ciou ? angle[k] : C(0)};
  }
};

}  // namespace colad
