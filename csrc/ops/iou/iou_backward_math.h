// Analytic derivatives of iou_math.h. Torch-free.
//
// At a tie, a maximum gives half of the derivative to each argument (as torch). A clamp at exactly 0 passes the
// derivative (as torch up to 2.14).
//
// Only the mode branches. The coordinates choose between values, so that a loop over pairs is vectorised if the mode is
// a compile-time constant.
#pragma once

#include "ops/iou/iou_math.h"

namespace colad {

namespace iou_detail {

// Adds the derivative `d` of maximum(a, b) to that of the larger argument, or half of it to each at a tie. For
// minimum(a, b) the caller swaps the values a and b.
template <typename T>
COLAD_HD void split(T d, T a, T b, T& da, T& db) {
  const T of_tie = a == b ? d / T(2) : T(0);
  da += a > b ? d : of_tie;
  db += b > a ? d : of_tie;
}

// A derivative by a clamped extent, as derivative by the extent: 0 where the clamp at 0 cuts.
template <typename T>
COLAD_HD T through_clamp(T d, T extent) {
  return extent >= T(0) ? d : T(0);
}

// `d` is the derivative by the overlap's extent, high - low, along one axis. Adds the derivatives by the coordinates.
template <typename T>
COLAD_HD void overlap_extent(T d, T a1, T a2, T b1, T b2, T& da1, T& da2, T& db1, T& db2) {
  d = through_clamp(d, minimum(a2, b2) - maximum(a1, b1));
  split(d, b2, a2, da2, db2);      // of minimum(a2, b2)
  T lost_a = T(0), lost_b = T(0);  // of maximum(a1, b1), which the extent subtracts
  split(d, a1, b1, lost_a, lost_b);
  da1 -= lost_a;
  db1 -= lost_b;
}

// The same for the extent of the hull.
template <typename T>
COLAD_HD void hull_extent(T d, T a1, T a2, T b1, T b2, T& da1, T& da2, T& db1, T& db2) {
  d = through_clamp(d, maximum(a2, b2) - minimum(a1, b1));
  split(d, a2, b2, da2, db2);
  T lost_a = T(0), lost_b = T(0);
  split(d, b1, a1, lost_a, lost_b);
  da1 -= lost_a;
  db1 -= lost_b;
}

// The same for the extent of a box.
template <typename T>
COLAD_HD void box_extent(T d, T low, T high, T& d_low, T& d_high) {
  d = through_clamp(d, high - low);
  d_high += d;
  d_low -= d;
}

// A ratio whose denominator is 0 is a constant, and its derivative 0.
template <typename T>
COLAD_HD T unless_zero(T denominator, T derivative) {
  return denominator == T(0) ? T(0) : derivative;
}

}  // namespace iou_detail

// Whether a pair of finite boxes may have a derivative other than 0. Of iou and iof only boxes that overlap or touch
// do.
template <typename T>
COLAD_HD bool may_have_derivative(const Box<T>& a, const Box<T>& b, IouMode mode) {
  constexpr MayBeNan kNan = MayBeNan::neither;
  const bool meet = smaller<kNan>(a.x2, b.x2) - larger<kNan>(a.x1, b.x1) >= T(0) &&
                    smaller<kNan>(a.y2, b.y2) - larger<kNan>(a.y1, b.y1) >= T(0);
  return meet || (mode != IouMode::iou && mode != IouMode::iof);
}

// Adds grad * d(box_iou)/d(box) to da and db. Two divisions by an area, not one by its square, which could overflow.
template <typename T>
COLAD_HD void box_iou_backward(const MeasuredBox<T>& first, const MeasuredBox<T>& second, IouMode mode, T grad,
                               Box<T>& da, Box<T>& db) {
  using namespace iou_detail;
  const Box<T>&a = first.box, &b = second.box;
  const T wa = box_width(a), ha = box_height(a), wb = box_width(b), hb = box_height(b);
  const T ow = clamp_at_zero(minimum(a.x2, b.x2) - maximum(a.x1, b.x1));
  const T oh = clamp_at_zero(minimum(a.y2, b.y2) - maximum(a.y1, b.y1));
  const T overlap = ow * oh, area_a = first.area, area_b = second.area;

  // Derivatives by overlap, areas and hull extents.
  T d_overlap = T(0), d_area_a = T(0), d_area_b = T(0), d_hull_w = T(0), d_hull_h = T(0);
  T d_wa = T(0), d_ha = T(0), d_wb = T(0), d_hb = T(0);

  if (mode == IouMode::iof) {
    d_overlap = unless_zero(area_a, grad / area_a);
    d_area_a = unless_zero(area_a, -grad * (overlap / area_a) / area_a);
  } else {
    const T both = area_a + area_b - overlap;
    T d_both = unless_zero(both, -grad * (overlap / both) / both);
    d_overlap = unless_zero(both, grad / both);
    if (mode != IouMode::iou) {
      const T hull_w = clamp_at_zero(maximum(a.x2, b.x2) - minimum(a.x1, b.x1));
      const T hull_h = clamp_at_zero(maximum(a.y2, b.y2) - minimum(a.y1, b.y1));
      if (mode == IouMode::giou) {
        const T hull = hull_w * hull_h;  // -(hull - both) / hull = both / hull - 1
        d_both += unless_zero(hull, grad / hull);
        const T d_hull = unless_zero(hull, -grad * (both / hull) / hull);
        d_hull_w = d_hull * hull_h;
        d_hull_h = d_hull * hull_w;
      } else {
        const T dx = (b.x1 + b.x2 - a.x1 - a.x2) / T(2);
        const T dy = (b.y1 + b.y2 - a.y1 - a.y2) / T(2);
        const T distance = dx * dx + dy * dy, diagonal = hull_w * hull_w + hull_h * hull_h;
        const T d_diagonal = unless_zero(diagonal, grad * (distance / diagonal) / diagonal);
        d_hull_w = d_diagonal * T(2) * hull_w;
        d_hull_h = d_diagonal * T(2) * hull_h;
        const T gx = unless_zero(diagonal, -grad * dx / diagonal);  // 2 * dx * (1/2) for each corner
        const T gy = unless_zero(diagonal, -grad * dy / diagonal);
        db.x1 += gx, db.x2 += gx, da.x1 -= gx, da.x2 -= gx;
        db.y1 += gy, db.y2 += gy, da.y1 -= gy, da.y2 -= gy;
        if (mode == IouMode::ciou) {
          const CiouAspect<T> aspect = ciou_aspect(first.angle, second.angle, ratio(overlap, both));
          const T d_angle = -grad * aspect.alpha * T(2) * T(kCiouFactor) * aspect.angle_difference;
          const T norm_a = wa * wa + ha * ha, norm_b = wb * wb + hb * hb;  // d atan2(w, h) = (h dw - w dh) / norm
          d_wb = d_angle * ratio(hb, norm_b), d_hb = -d_angle * ratio(wb, norm_b);
          d_wa = -d_angle * ratio(ha, norm_a), d_ha = d_angle * ratio(wa, norm_a);
        }
      }
    }
    d_area_a = d_both, d_area_b = d_both, d_overlap -= d_both;
  }

  box_extent(d_wa + d_area_a * ha, a.x1, a.x2, da.x1, da.x2);
  box_extent(d_ha + d_area_a * wa, a.y1, a.y2, da.y1, da.y2);
  box_extent(d_wb + d_area_b * hb, b.x1, b.x2, db.x1, db.x2);
  box_extent(d_hb + d_area_b * wb, b.y1, b.y2, db.y1, db.y2);
  overlap_extent(d_overlap * oh, a.x1, a.x2, b.x1, b.x2, da.x1, da.x2, db.x1, db.x2);
  overlap_extent(d_overlap * ow, a.y1, a.y2, b.y1, b.y2, da.y1, da.y2, db.y1, db.y2);
  if (mode != IouMode::iou && mode != IouMode::iof) {
    hull_extent(d_hull_w, a.x1, a.x2, b.x1, b.x2, da.x1, da.x2, db.x1, db.x2);
    hull_extent(d_hull_h, a.y1, a.y2, b.y1, b.y2, da.y1, da.y2, db.y1, db.y2);
  }
}

template <typename T>
COLAD_HD void box_iou_backward(const Box<T>& a, const Box<T>& b, IouMode mode, T grad, Box<T>& da, Box<T>& db) {
  box_iou_backward(measure(a, mode), measure(b, mode), mode, grad, da, db);
}

}  // namespace colad
