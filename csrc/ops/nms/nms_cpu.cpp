// nms_keep on the CPU: one group after the other, each box against the better ones that stayed.
#include "common/boxed.h"
#include "ops/nms/nms.h"

namespace colad {
namespace {

template <typename T>
void suppress_group(const NmsParams& p, int64_t begin, int64_t end) {
  const T* boxes = static_cast<const T*>(p.boxes);
  for (int64_t i = begin; i < end; ++i) {
    p.keep[i] = true;
    for (int64_t j = begin; j < i && p.keep[i]; ++j) {
      p.keep[i] = !(p.keep[j] && suppresses(load_box(boxes, j), load_box(boxes, i), p.iou_threshold));
    }
  }
}

Tensor nms_keep(const Tensor& boxes, const Tensor& labels, const Tensor& images, double iou_threshold) {
  const NmsCall call = nms_contract(boxes, labels, images, iou_threshold);
  const NmsParams& p = call.params;
  int64_t begin = 0;
  for (int64_t end = 1; end <= p.count; ++end) {
    if (end == p.count || p.starts_group(end)) {
      COLAD_DISPATCH_FLOATING(call.dtype, suppress_group<scalar_t>(p, begin, end));
      begin = end;
    }
  }
  return call.keep;
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) { m.impl("nms_keep", COLAD_BOX(&colad::nms_keep)); }
