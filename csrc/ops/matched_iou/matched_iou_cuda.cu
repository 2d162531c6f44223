// matched_box_iou on CUDA: one thread an anchor.
#include "common/boxed.h"
#include "common/cuda.cuh"
#include "ops/matched_iou/matched_iou.h"

namespace colad {
namespace {

constexpr int kBlock = 256;  // enough warps to hide the loads; not tuned on a card

template <typename T>
__global__ void matched_iou_kernel(MatchedIouParams p) {
  for (int64_t i = thread_index(); i < p.count(); i += thread_count()) {
    matched_iou_at<T>(p, i);
  }
}

template <typename T>
__global__ void matched_iou_backward_kernel(MatchedIouParams p) {
  for (int64_t i = thread_index(); i < p.count(); i += thread_count()) {
    matched_iou_backward_at<T>(p, i);
  }
}

struct MatchedIouCuda {
  static void run(const MatchedIouCall& call) {
    const MatchedIouParams& p = call.params;
    if (p.count() > 0) {
      const CudaScope scope(call.out);
      dispatch_floating(call.dtype, [&]<typename T>() {
        launch(matched_iou_kernel<T>, grid_for(p.count(), kBlock), kBlock, 0, scope.stream(), p);
      });
    }
  }

  static void run_backward(const MatchedIouCall& call) {
    const MatchedIouParams& p = call.params;
    if (p.count() > 0) {
      const CudaScope scope(call.out);
      dispatch_floating(call.dtype, [&]<typename T>() {
        launch(matched_iou_backward_kernel<T>, grid_for(p.count(), kBlock), kBlock, 0, scope.stream(), p);
      });
    }
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("matched_box_iou", COLAD_BOX(&colad::matched_box_iou_op<colad::MatchedIouCuda>));
  m.impl("matched_box_iou_backward", COLAD_BOX(&colad::matched_box_iou_backward_op<colad::MatchedIouCuda>));
}
