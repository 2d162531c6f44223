// A box suppresses another box of lower score if both have the same image and label and their IoU is above the
// threshold. Torch-free.
#pragma once

#include <limits>

#include "ops/iou/iou_math.h"

namespace colad {

// The threshold is a double, as in torchvision's CPU code. So an IoU of float(0.6) is above 0.6.
template <typename T>
COLAD_HD bool suppresses(const MeasuredBox<T>& kept, const MeasuredBox<T>& other, double iou_threshold) {
  return iou_of(kept.box, kept.area, other.box, other.area) > iou_threshold;  // false for NaN
}

template <typename T>
COLAD_HD bool suppresses(const Box<T>& kept, const Box<T>& other, double iou_threshold) {
  return suppresses(measure(kept, IouMode::iou), measure(other, IouMode::iou), iou_threshold);
}

// The largest T that is not above the threshold: an IoU in T is above the one exactly if it is above the other. So a
// loop over float can compare floats.
template <typename T>
inline T threshold_in(double iou_threshold) {
  const T nearest = static_cast<T>(iou_threshold);
  return static_cast<double>(nearest) > iou_threshold ? std::nextafter(nearest, -std::numeric_limits<T>::infinity())
                                                      : nearest;
}

}  // namespace colad
