// Intersection over union of two boxes and its relatives. Torch-free.
//
//   iou  = overlap / union                                  (0 where the union is 0)
//   iof  = overlap / area of the first box                  (0 where that area is 0)
//   giou = iou - (hull - union) / hull                      (iou where the hull is 0; Rezatofighi et al. 2019, eq. 4)
//   diou = iou - distance^2 / diagonal^2                    (iou where the diagonal is 0; Zheng et al. 2020, eq. 6)
//   ciou = diou - alpha * v, alpha a constant in the derivative  (same paper, eq. 8 to 11)
//
// Width and height are clamped at 0, so an inverted box is empty. NaN in, NaN out.
#pragma once

#include "common/host_device.h"

namespace colad {

enum class IouMode { iou, iof, giou, diou, ciou };

template <typename T>
struct Box {
  T x1, y1, x2, y2;
};

template <typename T>
COLAD_HD T box_width(const Box<T>& b) {
  return clamp_at_zero(b.x2 - b.x1);
}

template <typename T>
COLAD_HD T box_height(const Box<T>& b) {
  return clamp_at_zero(b.y2 - b.y1);
}

template <typename T>
COLAD_HD T box_area(const Box<T>& b) {
  return box_width(b) * box_height(b);
}

template <typename T>
COLAD_HD bool is_finite(const Box<T>& box) {
  return is_finite(box.x1) && is_finite(box.y1) && is_finite(box.x2) && is_finite(box.y2) && is_finite(box_area(box));
}

template <typename T>
COLAD_HD bool has_nan(const Box<T>& box) {
  return box.x1 != box.x1 || box.y1 != box.y1 || box.x2 != box.x2 || box.y2 != box.y2;
}

// Whether two boxes may overlap. If not, and neither holds NaN, their overlap is 0.
template <typename T>
COLAD_HD bool reaches(const Box<T>& a, const Box<T>& b) {
  return (a.x2 > b.x1) & (a.x1 < b.x2) & (a.y2 > b.y1) & (a.y1 < b.y2);
}

// Which box of a pair may hold NaN. If only one may, a single comparison gives the maximum and keeps NaN. The
// comparisons of the general case take half of the time of a vectorised loop. If neither may, CUDA has one instruction
// for each maximum.
enum class MayBeNan { either, first, second, neither };

template <MayBeNan nan, typename T>
COLAD_HD T larger(T a, T b) {
  if (nan == MayBeNan::neither) return std::fmax(a, b);
  if (nan == MayBeNan::first) return b > a ? b : a;
  if (nan == MayBeNan::second) return a > b ? a : b;
  return maximum(a, b);
}

template <MayBeNan nan, typename T>
COLAD_HD T smaller(T a, T b) {
  if (nan == MayBeNan::neither) return std::fmin(a, b);
  if (nan == MayBeNan::first) return b < a ? b : a;
  if (nan == MayBeNan::second) return a < b ? a : b;
  return minimum(a, b);
}

template <MayBeNan nan, typename T>
COLAD_HD T extent(T from, T to) {
  return nan == MayBeNan::neither ? std::fmax(to - from, T(0)) : clamp_at_zero(to - from);
}

template <MayBeNan nan = MayBeNan::either, typename T>
COLAD_HD T box_overlap(const Box<T>& a, const Box<T>& b) {
  const T w = extent<nan>(larger<nan>(a.x1, b.x1), smaller<nan>(a.x2, b.x2));
  const T h = extent<nan>(larger<nan>(a.y1, b.y1), smaller<nan>(a.y2, b.y2));
  return w * h;
}

// 0 where the denominator is 0, but NaN if the numerator is NaN.
template <typename T>
COLAD_HD T ratio(T numerator, T denominator) {
  const T of_zero = numerator == numerator ? T(0) : numerator;
  return denominator == T(0) ? of_zero : numerator / denominator;
}

// overlap / union, 0 where the union is 0. A NaN overlap needs no test here: the union is then NaN too.
template <typename T>
COLAD_HD T overlap_of_union(T overlap, T both) {
  return both == T(0) ? T(0) : overlap / both;
}

// The plain IoU. The caller computes the area of each box once.
template <MayBeNan nan = MayBeNan::either, typename T>
COLAD_HD T iou_of(const Box<T>& a, T area_a, const Box<T>& b, T area_b) {
  const T overlap = box_overlap<nan>(a, b);
  return overlap_of_union(overlap, area_a + area_b - overlap);
}

// v of CIoU is (4 / pi^2) * (atan(w2 / h2) - atan(w1 / h1))^2.
constexpr double kCiouFactor = 0.40528473456935108577551785283891;

template <typename T>
struct CiouAspect {
  T v, alpha, angle_difference;
};

template <typename T>
COLAD_HD T aspect_angle(const Box<T>& b) {
  return std::atan2(box_width(b), box_height(b));
}

template <typename T>
COLAD_HD CiouAspect<T> ciou_aspect(T angle_a, T angle_b, T iou) {
  const T difference = angle_b - angle_a;
  const T v = T(kCiouFactor) * difference * difference;
  return {v, ratio(v, (T(1) - iou) + v), difference};
}

// A box and the values that each of its pairs needs, computed once.
template <typename T>
struct MeasuredBox {
  Box<T> box;
  T area, angle;  // angle: aspect_angle, only for ciou
};

template <typename T>
COLAD_HD MeasuredBox<T> measure(const Box<T>& box, IouMode mode) {
  return {box, box_area(box), mode == IouMode::ciou ? aspect_angle(box) : T(0)};
}

template <MayBeNan nan = MayBeNan::either, typename T>
COLAD_HD T box_iou(const MeasuredBox<T>& first, const MeasuredBox<T>& second, IouMode mode) {
  const Box<T>&a = first.box, &b = second.box;
  const T overlap = box_overlap<nan>(a, b);
  if (mode == IouMode::iof) {
    return ratio(overlap, first.area);
  }
  const T both = first.area + second.area - overlap;
  const T iou = overlap_of_union(overlap, both);
  if (mode == IouMode::iou) {
    return iou;
  }
  const T hull_w = clamp_at_zero(larger<nan>(a.x2, b.x2) - smaller<nan>(a.x1, b.x1));
  const T hull_h = clamp_at_zero(larger<nan>(a.y2, b.y2) - smaller<nan>(a.y1, b.y1));
  if (mode == IouMode::giou) {
    const T hull = hull_w * hull_h;
    return iou - ratio(hull - both, hull);
  }
  const T dx = (b.x1 + b.x2 - a.x1 - a.x2) / T(2);
  const T dy = (b.y1 + b.y2 - a.y1 - a.y2) / T(2);
  const T diou = iou - ratio(dx * dx + dy * dy, hull_w * hull_w + hull_h * hull_h);
  if (mode == IouMode::diou) {
    return diou;
  }
  const CiouAspect<T> aspect = ciou_aspect(first.angle, second.angle, iou);
  return diou - aspect.alpha * aspect.v;
}

template <typename T>
COLAD_HD T box_iou(const Box<T>& a, const Box<T>& b, IouMode mode) {
  return box_iou(measure(a, mode), measure(b, mode), mode);
}

}  // namespace colad
