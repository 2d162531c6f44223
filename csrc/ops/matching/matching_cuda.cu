// match_anchors on CUDA: one thread an (image, anchor) pair, two launches. Each object's best IoU is kept by an integer
// atomic maximum on the bits of a value >= 0 (ordered like the value itself), so the result does not depend on the
// order.
#include <torch/csrc/stable/library.h>

#include "common/cuda.cuh"
#include "ops/matching/matching.h"

namespace colad {
namespace {

constexpr int kBlock = 256;  // enough warps to hide the loads; not tuned on a card

__device__ void atomic_max_bits(float* address, float value) {
  atomicMax(reinterpret_cast<int*>(address), __float_as_int(value));
}

__device__ void atomic_max_bits(double* address, double value) {
  atomicMax(reinterpret_cast<long long*>(address), __double_as_longlong(value));
}

template <typename T>
__global__ void first_pass_kernel(MatchParams p) {
  using C = compute_t<T>;
  C* object_best = static_cast<C*>(p.object_best);
  for (int64_t i = thread_index(); i < p.images * p.anchor_count; i += thread_count()) {
    match_first_pass<T>(p, i / p.anchor_count, i % p.anchor_count, [&](int64_t row, C iou) {
      if (iou > C(0)) {
        atomic_max_bits(object_best + row, iou);
      }
    });
  }
}

template <typename T>
__global__ void second_pass_kernel(MatchParams p) {
  for (int64_t i = thread_index(); i < p.images * p.anchor_count; i += thread_count()) {
    match_second_pass<T>(p, i / p.anchor_count, i % p.anchor_count);
  }
}

std::tuple<Tensor, Tensor> match_anchors(const Tensor& anchors, const Tensor& gt_boxes, const Tensor& gt_offsets,
                                         std::optional<Tensor> valid, std::optional<Tensor> ignore_boxes,
                                         std::optional<Tensor> ignore_offsets, double iou_threshold,
                                         std::string low_quality, double ignore_iof, bool claim_zero_overlap,
                                         bool inclusive_corners) {
  MatchCall call = match_contract(anchors, gt_boxes, gt_offsets, valid, ignore_boxes, ignore_offsets, iou_threshold,
                                  low_quality, ignore_iof, claim_zero_overlap, inclusive_corners);
  const MatchParams& p = call.params;
  const int64_t work = p.images * p.anchor_count;
  if (work > 0) {
    const CudaScope scope(call.anchors);
    torch::stable::zero_(call.object_best);
    COLAD_DISPATCH_FLOATING(
        call.dtype, launch(first_pass_kernel<scalar_t>, grid_for(work, kBlock), kBlock, 0, scope.stream(), p);
        if (p.low_quality != LowQuality::none || p.ignore_boxes != nullptr) {
          launch(second_pass_kernel<scalar_t>, grid_for(work, kBlock), kBlock, 0, scope.stream(), p);
        });
  }
  return {call.matched, call.iou};
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) { m.impl("match_anchors", TORCH_BOX(&colad::match_anchors)); }
