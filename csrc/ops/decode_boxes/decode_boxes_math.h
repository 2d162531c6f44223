// A box from its offsets to an anchor (R-CNN's parametrisation), and the derivative. Torch-free.
//
//   x = xa + dx * std_x * wa
//   w = wa * exp(clamp(dw * std_w, -limit, limit))
//
// with the anchor's centre xa and width wa; likewise y and height. NaN in, NaN out. An anchor whose corners are
// exchanged gives a box whose corners are exchanged.
#pragma once

#include "common/elementary.h"
#include "ops/iou/iou_math.h"

namespace colad {

// The exponential is a normal number up to this, also in float32.
constexpr double kMostRatio = 1e36;

template <typename T>
struct DecodeOptions {
  T std_x, std_y, std_w, std_h;
  T limit;  // of the logarithm of a side over the anchor's side; at most that of kMostRatio
};

// A box as centre and size.
template <typename T>
struct CentredBox {
  T x, y, w, h;
};

template <typename T>
struct BoxDeltas {
  T dx, dy, dw, dh;
};

template <typename T>
COLAD_HD CentredBox<T> centred(const Box<T>& box) {
  return {(box.x1 + box.x2) * T(0.5), (box.y1 + box.y2) * T(0.5), box.x2 - box.x1, box.y2 - box.y1};
}

template <typename T>
COLAD_HD T exp_within(T log_ratio, T limit) {
  const T above = log_ratio < -limit ? -limit : log_ratio;
  return exp_normal(above > limit ? limit : above);
}

// The derivative of the clamp by its argument: 1 at both ends.
template <typename T>
COLAD_HD bool is_within(T log_ratio, T limit) {
  return (log_ratio >= -limit) & (log_ratio <= limit);
}

template <typename T>
COLAD_HD Box<T> decode_box(const CentredBox<T>& anchor, const BoxDeltas<T>& delta, const DecodeOptions<T>& options) {
  const T x = anchor.x + delta.dx * options.std_x * anchor.w, y = anchor.y + delta.dy * options.std_y * anchor.h;
  const T half_w = anchor.w * exp_within(delta.dw * options.std_w, options.limit) * T(0.5);
  const T half_h = anchor.h * exp_within(delta.dh * options.std_h, options.limit) * T(0.5);
  return {x - half_w, y - half_h, x + half_w, y + half_h};
}

// The derivative by the deltas. It does not depend on dx and dy. Where a side is clamped, its delta has derivative 0,
// whatever the gradient.
template <typename T>
COLAD_HD BoxDeltas<T> decode_box_backward(const CentredBox<T>& anchor, T dw, T dh, const DecodeOptions<T>& options,
                                          const Box<T>& grad) {
  const T log_w = dw * options.std_w, log_h = dh * options.std_h;
  const T half_w = anchor.w * exp_within(log_w, options.limit) * T(0.5);
  const T half_h = anchor.h * exp_within(log_h, options.limit) * T(0.5);
  const T by_w = (grad.x2 - grad.x1) * half_w * options.std_w, by_h = (grad.y2 - grad.y1) * half_h * options.std_h;
  return {(grad.x1 + grad.x2) * anchor.w * options.std_x, (grad.y1 + grad.y2) * anchor.h * options.std_y,
          is_within(log_w, options.limit) ? by_w : T(0), is_within(log_h, options.limit) ? by_h : T(0)};
}

}  // namespace colad
