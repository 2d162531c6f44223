// Contracts of the two operators of greedy suppression. A group is the boxes of one image and one label.
//
// batched_nms takes boxes in any order. It has a kernel for the CPU only. On other devices Python sorts the boxes and
// calls nms_keep, whose boxes are sorted by image, then label, then descending score. So the rows of a group follow
// each other, and the best box of a group is its first.
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

struct BatchedNmsCall {
  Tensor boxes, scores, labels;
  std::optional<Tensor> image_offsets;
  double iou_threshold;
  int64_t count, images;
};

inline void check_one_a_box(const Tensor& tensor, const char* name, int64_t boxes) {
  check_given(tensor, name);
  check(tensor.dim() == 1 && tensor.size(0) == boxes, name, " should have shape (", boxes, ",), one a box, got ",
        shape_of(tensor));
}

inline BatchedNmsCall batched_nms_contract(const Tensor& boxes, const Tensor& scores, const Tensor& labels,
                                           const std::optional<Tensor>& image_offsets, double iou_threshold) {
  check_shape(boxes, "boxes", {-1, 4}, "(N, 4)");
  check_floating(boxes, "boxes");
  const int64_t count = boxes.size(0);
  check(count <= UINT32_MAX, "boxes should be fewer than 2^32, got ", count);
  check_one_a_box(scores, "scores", count);
  check_one_a_box(labels, "labels", count);
  check_dtype(labels, "labels", ScalarType::Long);
  check_same_device(scores, "scores", boxes, "boxes");
  check_same_device(labels, "labels", boxes, "boxes");
  check_number(iou_threshold, "iou_threshold");
  const int64_t images =
      image_offsets ? check_offsets(*image_offsets, "image_offsets", count, boxes, "boxes") : int64_t(1);
  return {
      as_boxes(boxes), as_contiguous(scores), as_contiguous(labels), as_contiguous(image_offsets), iou_threshold, count,
      images};
}

// The operator. Backend::run(call) returns the rows of the kept boxes by descending score.
template <typename Backend>
Tensor batched_nms_op(const Tensor& boxes, const Tensor& scores, const Tensor& labels,
                      const std::optional<Tensor>& image_offsets, double iou_threshold) {
  return Backend::run(batched_nms_contract(boxes, scores, labels, image_offsets, iou_threshold));
}

}  // namespace colad
