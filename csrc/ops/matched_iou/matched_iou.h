// Contract of matched_box_iou, and the operators. The boxes of the objects are read row by row: a tensor with the
// object of every anchor is never made.
#pragma once

#include "ops/iou/iou.h"
#include "ops/matched_iou/matched_iou_math.h"

namespace colad {

struct MatchedIouParams {
  const void *boxes, *gt_boxes, *grad;
  const int64_t* matched;
  void* out;  // the values, or the gradients of the boxes
  int64_t images, anchors, objects;
  IouMode mode;

  COLAD_HD int64_t count() const { return images * anchors; }
};

// The tensors that own the memory of the pointers in `params`.
struct MatchedIouCall {
  Tensor boxes, gt_boxes, grad, matched, out;
  MatchedIouParams params;
  ScalarType dtype;
};

// `grad` is given for the backward.
inline MatchedIouCall matched_iou_contract(const Tensor& boxes, const Tensor& gt_boxes, const Tensor& matched,
                                           std::string_view mode, const Tensor* grad) {
  check_shape(boxes, "boxes", {-1, -1, 4}, "(B, A, 4)");
  check_floating(boxes, "boxes");
  check_shape(gt_boxes, "gt_boxes", {-1, 4}, "(G, 4)");
  check_same_dtype(gt_boxes, "gt_boxes", boxes, "boxes");
  check_same_device(gt_boxes, "gt_boxes", boxes, "boxes");
  MatchedIouParams p{};
  p.images = boxes.size(0), p.anchors = boxes.size(1), p.objects = gt_boxes.size(0);
  check_shape(matched, "matched", {p.images, p.anchors}, "(B, A), one row an anchor");
  check_dtype(matched, "matched", ScalarType::Long);
  check_same_device(matched, "matched", boxes, "boxes");
  p.mode = iou_mode(mode);

  MatchedIouCall call{as_boxes(boxes),    as_boxes(gt_boxes), boxes, as_contiguous(matched), boxes, p,
                      boxes.scalar_type()};
  if (grad == nullptr) {
    call.out = new_tensor(boxes, {p.images, p.anchors});
  } else {
    check_shape(*grad, "grad", {p.images, p.anchors}, "of the output");
    check_same_dtype(*grad, "grad", boxes, "boxes");
    check_same_device(*grad, "grad", boxes, "boxes");
    call.grad = as_contiguous(*grad);
    call.params.grad = call.grad.data_ptr();
    call.out = new_tensor(boxes, boxes.sizes());
  }
  call.params.boxes = call.boxes.data_ptr();
  call.params.gt_boxes = call.gt_boxes.data_ptr();
  call.params.matched = static_cast<const int64_t*>(call.matched.data_ptr());
  call.params.out = call.out.data_ptr();
  return call;
}

// One value.
template <typename T>
COLAD_HD void matched_iou_at(const MatchedIouParams& p, int64_t i) {
  using C = compute_t<T>;
  const int64_t row = p.matched[i];
  C value = C(0);
  if (has_object(row, p.objects)) {
    value =
        box_iou(load_box(static_cast<const T*>(p.boxes), i), load_box(static_cast<const T*>(p.gt_boxes), row), p.mode);
  }
  static_cast<T*>(p.out)[i] = static_cast<T>(value);
}

// The gradient of one box.
template <typename T>
COLAD_HD void matched_iou_backward_at(const MatchedIouParams& p, int64_t i) {
  using C = compute_t<T>;
  const int64_t row = p.matched[i];
  Box<C> gradient{};
  if (has_object(row, p.objects)) {
    gradient =
        box_iou_gradient(load_box(static_cast<const T*>(p.boxes), i), load_box(static_cast<const T*>(p.gt_boxes), row),
                         p.mode, static_cast<C>(static_cast<const T*>(p.grad)[i]));
  }
  store_box(static_cast<T*>(p.out), i, gradient);
}

// The operators. Each function of Backend fills the output of a call.
template <typename Backend>
Tensor matched_box_iou_op(const Tensor& boxes, const Tensor& gt_boxes, const Tensor& matched, std::string_view mode) {
  const MatchedIouCall call = matched_iou_contract(boxes, gt_boxes, matched, mode, nullptr);
  Backend::run(call);
  return call.out;
}

template <typename Backend>
Tensor matched_box_iou_backward_op(const Tensor& grad, const Tensor& boxes, const Tensor& gt_boxes,
                                   const Tensor& matched, std::string_view mode) {
  const MatchedIouCall call = matched_iou_contract(boxes, gt_boxes, matched, mode, &grad);
  Backend::run_backward(call);
  return call.out;
}

}  // namespace colad
