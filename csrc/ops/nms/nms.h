// Contract of nms_keep: greedy suppression within groups. A group is the boxes of one image and one label. The caller
// has sorted the boxes by image, then label, then descending score. So the rows of a group follow each other, and the
// best box of a group is its first.
#pragma once

#include "ops/iou/iou.h"
#include "ops/nms/nms_math.h"

namespace colad {

struct NmsParams {
  const void* boxes;
  const int64_t *labels, *images;
  bool* keep;
  int64_t count;
  double iou_threshold;

  COLAD_HD bool same_group(int64_t i, int64_t j) const { return labels[i] == labels[j] && images[i] == images[j]; }
  COLAD_HD bool starts_group(int64_t i) const { return i == 0 || !same_group(i - 1, i); }
};

struct NmsCall {
  Tensor boxes, labels, images, keep;
  NmsParams params;
  ScalarType dtype;
};

inline NmsCall nms_contract(const Tensor& boxes, const Tensor& labels, const Tensor& images, double iou_threshold) {
  check_shape(boxes, "boxes", {-1, 4}, "(N, 4)");
  check_floating(boxes, "boxes");
  check_shape(labels, "labels", {boxes.size(0)}, "(N,), one a box");
  check_shape(images, "images", {boxes.size(0)}, "(N,), one a box");
  check_dtype(labels, "labels", ScalarType::Long);
  check_dtype(images, "images", ScalarType::Long);
  check_same_device(labels, "labels", boxes, "boxes");
  check_same_device(images, "images", boxes, "boxes");
  check_number(iou_threshold, "iou_threshold");
  NmsCall call{as_boxes(boxes),
               as_contiguous(labels),
               as_contiguous(images),
               new_tensor(boxes, {boxes.size(0)}, ScalarType::Bool),
               {},
               boxes.scalar_type()};
  call.params = {call.boxes.data_ptr(),
                 static_cast<const int64_t*>(call.labels.data_ptr()),
                 static_cast<const int64_t*>(call.images.data_ptr()),
                 static_cast<bool*>(call.keep.data_ptr()),
                 boxes.size(0),
                 iou_threshold};
  return call;
}

// The operator. Backend::run(call) fills the output.
template <typename Backend>
Tensor nms_keep_op(const Tensor& boxes, const Tensor& labels, const Tensor& images, double iou_threshold) {
  const NmsCall call = nms_contract(boxes, labels, images, iou_threshold);
  Backend::run(call);
  return call.keep;
}

}  // namespace colad
