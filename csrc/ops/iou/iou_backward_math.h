// Analytic derivatives of iou_math.h. Torch-free.
//
// At a tie, a maximum gives half of the derivative to each argument (as torch). A clamp at exactly 0 passes the
// derivative (as torch up to 2.14).
#pragma once

#include "ops/iou/iou_math.h"

namespace colad {

namespace iou_detail {

// Adds the derivative `d` of maximum(a, b) to that of the larger argument, or half of it to each at a tie. For
// minimum(a, b) the caller swaps the values a and b.
template <typename T>
COLAD_HD void split(T d, T a, T b, T& da, T& db) {
  da += a > b ? d : (a == b ? d / T(2) : T(0));
  db += b > a ? d : (a == b ? d / T(2) : T(0));
}

// `d` is the derivative by the overlap's extent, high - low, along one axis. Adds the derivatives by the coordinates;
// they are 0 where the clamp at 0 cuts.
template <typename T>
COLAD_HD void overlap_extent(T d, T a1, T a2, T b1, T b2, T& da1, T& da2, T& db1, T& db2) {
  if (minimum(a2, b2) - maximum(a1, b1) >= T(0)) {
    split(d, b2, a2, da2, db2);      // of minimum(a2, b2)
    T lost_a = T(0), lost_b = T(0);  // of maximum(a1, b1), which the extent subtracts
    split(d, a1, b1, lost_a, lost_b);
    da1 -= lost_a;
    db1 -= lost_b;
  }
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

// Adds grad * d(box_iou)/d(box) to da and db.
template <typename T>
COLAD_HD void box_iou_backward(const Box<T>& a, const Box<T>& b, IouMode mode, T grad, Box<T>& da, Box<T>& db) {
  const T wa = box_width(a), ha = box_height(a), wb = box_width(b), hb = box_height(b);
  const T ow = clamp_at_zero(minimum(a.x2, b.x2) - maximum(a.x1, b.x1));
  const T oh = clamp_at_zero(minimum(a.y2, b.y2) - maximum(a.y1, b.y1));
  const T overlap = ow * oh, area_a = wa * ha, area_b = wb * hb;

  // Derivatives by overlap, areas and hull extents. A ratio whose denominator is 0 is the constant 0.
  T d_overlap = T(0), d_area_a = T(0), d_area_b = T(0), d_hull_w = T(0), d_hull_h = T(0);
  T d_wa = T(0), d_ha = T(0), d_wb = T(0), d_hb = T(0);

  if (mode == IouMode::iof) {
    if (area_a != T(0)) {
      d_overlap = grad / area_a;
      d_area_a = -grad * (overlap / area_a) / area_a;  // two divisions: area_a * area_a could overflow
    }
  } else {
    const T both = area_a + area_b - overlap;
    T d_both = T(0);
    if (both != T(0)) {
      d_overlap = grad / both;
      d_both = -grad * (overlap / both) / both;
    }
    if (mode != IouMode::iou) {
      const T hull_w = clamp_at_zero(maximum(a.x2, b.x2) - minimum(a.x1, b.x1));
      const T hull_h = clamp_at_zero(maximum(a.y2, b.y2) - minimum(a.y1, b.y1));
      if (mode == IouMode::giou) {
        const T hull = hull_w * hull_h;
        if (hull != T(0)) {  // -(hull - both) / hull = both / hull - 1
          d_both += grad / hull;
          const T d_hull = -grad * (both / hull) / hull;
          d_hull_w = d_hull * hull_h;
          d_hull_h = d_hull * hull_w;
        }
      } else {
        const T dx = (b.x1 + b.x2 - a.x1 - a.x2) / T(2);
        const T dy = (b.y1 + b.y2 - a.y1 - a.y2) / T(2);
        const T distance = dx * dx + dy * dy, diagonal = hull_w * hull_w + hull_h * hull_h;
        if (diagonal != T(0)) {
          const T d_diagonal = grad * (distance / diagonal) / diagonal;
          d_hull_w = d_diagonal * T(2) * hull_w;
          d_hull_h = d_diagonal * T(2) * hull_h;
          const T gx = -grad * dx / diagonal, gy = -grad * dy / diagonal;  // 2 * dx * (1/2) for each corner
          db.x1 += gx, db.x2 += gx, da.x1 -= gx, da.x2 -= gx;
          db.y1 += gy, db.y2 += gy, da.y1 -= gy, da.y2 -= gy;
        }
        if (mode == IouMode::ciou) {
          const CiouAspect<T> aspect = ciou_aspect(aspect_angle(a), aspect_angle(b), ratio(overlap, both));
          const T d_angle = -grad * aspect.alpha * T(2) * T(kCiouFactor) * aspect.angle_difference;
          const T norm_a = wa * wa + ha * ha, norm_b = wb * wb + hb * hb;  // d atan2(w, h) = (h dw - w dh) / norm
          d_wb = d_angle * ratio(hb, norm_b), d_hb = -d_angle * ratio(wb, norm_b);
          d_wa = -d_angle * ratio(ha, norm_a), d_ha = d_angle * ratio(wa, norm_a);
        }
      }
    }
    d_area_a = d_both, d_area_b = d_both, d_overlap -= d_both;
  }

  d_wa += d_area_a * ha, d_ha += d_area_a * wa, d_wb += d_area_b * hb, d_hb += d_area_b * wb;
  if (a.x2 - a.x1 >= T(0)) da.x2 += d_wa, da.x1 -= d_wa;
  if (a.y2 - a.y1 >= T(0)) da.y2 += d_ha, da.y1 -= d_ha;
  if (b.x2 - b.x1 >= T(0)) db.x2 += d_wb, db.x1 -= d_wb;
  if (b.y2 - b.y1 >= T(0)) db.y2 += d_hb, db.y1 -= d_hb;

  iou_detail::overlap_extent(d_overlap * oh, a.x1, a.x2, b.x1, b.x2, da.x1, da.x2, db.x1, db.x2);
  iou_detail::overlap_extent(d_overlap * ow, a.y1, a.y2, b.y1, b.y2, da.y1, da.y2, db.y1, db.y2);

  if (maximum(a.x2, b.x2) - minimum(a.x1, b.x1) >= T(0)) {
    T left_a = T(0), left_b = T(0);
    iou_detail::split(d_hull_w, a.x2, b.x2, da.x2, db.x2);
    iou_detail::split(d_hull_w, b.x1, a.x1, left_a, left_b);
    da.x1 -= left_a, db.x1 -= left_b;
  }
  if (maximum(a.y2, b.y2) - minimum(a.y1, b.y1) >= T(0)) {
    T top_a = T(0), top_b = T(0);
    iou_detail::split(d_hull_h, a.y2, b.y2, da.y2, db.y2);
    iou_detail::split(d_hull_h, b.y1, a.y1, top_a, top_b);
    da.y1 -= top_a, db.y1 -= top_b;
  }
}

}  // namespace colad
