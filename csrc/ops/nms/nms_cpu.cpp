// nms_keep on the CPU: one group after the other. Each box is tested against the better boxes that were kept.
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

struct NmsCpu {
  static void run(const NmsCall& call) {
    const NmsParams& p = call.params;
    int64_t begin = 0;
    for (int64_t end = 1; end <= p.count; ++end) {
      if (end == p.count || p.starts_group(end)) {
        dispatch_floating(call.dtype, [&]<typename T>() { suppress_group<T>(p, begin, end); });
        begin = end;
      }
    }
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) { m.impl("nms_keep", COLAD_BOX(&colad::nms_keep_op<colad::NmsCpu>)); }
