// The IoU of an anchor's box with the object that the anchor is matched to. Torch-free.
#pragma once

#include "ops/iou/iou_backward_math.h"

namespace colad {

// Whether `matched` is a row of the objects. Codes of anchors without an object are negative. On the CPU a row that
// does not exist is an error; a kernel cannot raise one, and takes it for no object.
COLAD_HD bool has_object(int64_t matched, int64_t objects) {
  return static_cast<uint64_t>(matched) < static_cast<uint64_t>(objects);
}

// The derivative by the first box only. The object is a constant.
template <typename T>
COLAD_HD Box<T> box_iou_gradient(const Box<T>& box, const Box<T>& object, IouMode mode, T grad) {
  Box<T> d_box{}, d_object{};
  box_iou_backward(box, object, mode, grad, d_box, d_object);
  return d_box;
}

}  // namespace colad
