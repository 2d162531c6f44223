// box_iou and aligned_box_iou on CUDA. Forward: one thread a value. Backward: one thread a box.
#include "common/boxed.h"
#include "common/cuda.cuh"
#include "ops/iou/iou.h"

namespace colad {
namespace {

constexpr int kBlock = 256;  // enough warps to hide the loads; not tuned on a card

template <typename T>
__global__ void pairwise_iou_kernel(IouParams p) {
  for (int64_t i = thread_index(); i < p.batches * p.n * p.m; i += thread_count()) {
    pairwise_iou_at<T>(p, i);
  }
}

template <typename T>
__global__ void pairwise_iou_backward_kernel(IouParams p) {
  for (int64_t i = thread_index(); i < p.batches * (p.n + p.m); i += thread_count()) {
    pairwise_iou_backward_at<T>(p, i);
  }
}

template <typename T>
__global__ void aligned_iou_kernel(IouParams p) {
  for (int64_t i = thread_index(); i < p.n; i += thread_count()) {
    aligned_iou_at<T>(p, i);
  }
}

template <typename T>
__global__ void aligned_iou_backward_kernel(IouParams p) {
  for (int64_t i = thread_index(); i < p.n; i += thread_count()) {
    aligned_iou_backward_at<T>(p, i);
  }
}

struct IouCuda {
  static void pairwise(const IouCall& call) {
    const IouParams& p = call.params;
    run(call, p.batches * p.n * p.m, [&]<typename T>(unsigned grid, cudaStream_t stream) {
      launch(pairwise_iou_kernel<T>, grid, kBlock, 0, stream, p);
    });
  }

  static void pairwise_backward(const IouCall& call) {
    const IouParams& p = call.params;
    run(call, p.batches * (p.n + p.m), [&]<typename T>(unsigned grid, cudaStream_t stream) {
      launch(pairwise_iou_backward_kernel<T>, grid, kBlock, 0, stream, p);
    });
  }

  static void aligned(const IouCall& call) {
    const IouParams& p = call.params;
    run(call, p.n, [&]<typename T>(unsigned grid, cudaStream_t stream) {
      launch(aligned_iou_kernel<T>, grid, kBlock, 0, stream, p);
    });
  }

  static void aligned_backward(const IouCall& call) {
    const IouParams& p = call.params;
    run(call, p.n, [&]<typename T>(unsigned grid, cudaStream_t stream) {
      launch(aligned_iou_backward_kernel<T>, grid, kBlock, 0, stream, p);
    });
  }

 private:
  // Calls launch_kernel<T>(grid, stream) with enough threads for `work` results, unless there are none.
  template <typename Launch>
  static void run(const IouCall& call, int64_t work, Launch launch_kernel) {
    if (work > 0) {
      const CudaScope scope(call.out1);
      dispatch_floating(call.dtype, [&]<typename T>() {
        launch_kernel.template operator()<T>(grid_for(work, kBlock), scope.stream());
      });
    }
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("box_iou", COLAD_BOX(&colad::box_iou_op<colad::IouCuda>));
  m.impl("box_iou_backward", COLAD_BOX(&colad::box_iou_backward_op<colad::IouCuda>));
  m.impl("aligned_box_iou", COLAD_BOX(&colad::aligned_box_iou_op<colad::IouCuda>));
  m.impl("aligned_box_iou_backward", COLAD_BOX(&colad::aligned_box_iou_backward_op<colad::IouCuda>));
}
