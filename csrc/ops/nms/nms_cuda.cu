// nms_keep on CUDA: the block of a group's first box works on the whole group. It goes through the group in order of
// score. For each box that is kept, the threads of the block together mark the later boxes that it suppresses. The only
// memory is the output: one flag per box.
#include "common/boxed.h"
#include "common/cuda.cuh"
#include "ops/nms/nms.h"

namespace colad {
namespace {

constexpr int kBlock = 128;  // groups hold tens to a few hundred boxes; not tuned on a card

template <typename T>
__global__ void nms_kernel(NmsParams p) {
  const T* boxes = static_cast<const T*>(p.boxes);
  for (int64_t begin = blockIdx.x; begin < p.count; begin += gridDim.x) {
    if (!p.starts_group(begin)) {
      continue;  // the same for all threads of the block
    }
    for (int64_t i = begin + threadIdx.x; i < p.count && p.same_group(begin, i); i += blockDim.x) {
      p.keep[i] = true;
    }
    __syncthreads();
    for (int64_t i = begin; i < p.count && p.same_group(begin, i); ++i) {
      if (p.keep[i]) {  // final: all better boxes are done
        const auto kept = load_box(boxes, i);
        for (int64_t j = i + 1 + threadIdx.x; j < p.count && p.same_group(begin, j); j += blockDim.x) {
          if (suppresses(kept, load_box(boxes, j), p.iou_threshold)) {
            p.keep[j] = false;
          }
        }
      }
      __syncthreads();
    }
  }
}

struct NmsCuda {
  static void run(const NmsCall& call) {
    if (call.params.count > 0) {
      const CudaScope scope(call.boxes);
      dispatch_floating(call.dtype, [&]<typename T>() {
        launch(nms_kernel<T>, grid_for(call.params.count, 1), kBlock, 0, scope.stream(), call.params);
      });
    }
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) { m.impl("nms_keep", COLAD_BOX(&colad::nms_keep_op<colad::NmsCuda>)); }
