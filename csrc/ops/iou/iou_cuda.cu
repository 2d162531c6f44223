// box_iou and aligned_box_iou on CUDA: one thread a value or a pair. The backward of box_iou is in iou_backward.cuh.
#include "common/boxed.h"
#include "common/cuda.cuh"
#include "ops/iou/iou_backward.cuh"

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
    PairwiseBackwardParams p = pairwise_backward_params(call.params);
    const int64_t blocks = p.batches * p.row_sums.parts * p.column_sums.parts;
    if (blocks == 0) {
      return;
    }
    const CudaScope scope(call.out1);
    const int64_t of_rows = scratch_of(p.row_sums, p.batches), of_columns = scratch_of(p.column_sums, p.batches);
    const Tensor scratch = new_tensor(call.out1, {of_rows + of_columns}, compute_type(call.dtype));
    dispatch_floating(call.dtype, [&]<typename T>() {
      p.row_sums.partial = scratch.data_ptr();
      p.column_sums.partial = static_cast<compute_t<T>*>(scratch.data_ptr()) + of_rows;
      if (rows_are_first(call.params)) {
        launch(pairwise_iou_backward_kernel<T, true>, grid_for(blocks, 1), kColumns, 0, scope.stream(), p);
      } else {
        launch(pairwise_iou_backward_kernel<T, false>, grid_for(blocks, 1), kColumns, 0, scope.stream(), p);
      }
      if (of_rows + of_columns > 0) {
        const int64_t boxes =
            (of_rows > 0 ? p.batches * p.row_sums.boxes : 0) + (of_columns > 0 ? p.batches * p.column_sums.boxes : 0);
        launch(box_sums_kernel<T>, grid_for(boxes * kSumLanes, kSumBlock), kSumBlock, 0, scope.stream(), p);
      }
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
