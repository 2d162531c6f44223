// box_iou and aligned_box_iou on CUDA: one thread a value forward, one thread a box backward.
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

Tensor box_iou_op(const Tensor& boxes1, const Tensor& boxes2, std::string_view mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/false, nullptr);
  const IouParams& p = call.params;
  const int64_t work = p.batches * p.n * p.m;
  if (work > 0) {
    const CudaScope scope(call.out1);
    COLAD_DISPATCH_FLOATING(
        call.dtype, launch(pairwise_iou_kernel<scalar_t>, grid_for(work, kBlock), kBlock, 0, scope.stream(), p));
  }
  return call.out1;
}

std::tuple<Tensor, Tensor> box_iou_backward_op(const Tensor& grad, const Tensor& boxes1, const Tensor& boxes2,
                                               std::string_view mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/false, &grad);
  const IouParams& p = call.params;
  const int64_t work = p.batches * (p.n + p.m);
  if (work > 0) {
    const CudaScope scope(call.out1);
    COLAD_DISPATCH_FLOATING(call.dtype, launch(pairwise_iou_backward_kernel<scalar_t>, grid_for(work, kBlock), kBlock,
                                               0, scope.stream(), p));
  }
  return {call.out1, call.out2};
}

Tensor aligned_box_iou_op(const Tensor& boxes1, const Tensor& boxes2, std::string_view mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/true, nullptr);
  const IouParams& p = call.params;
  if (p.n > 0) {
    const CudaScope scope(call.out1);
    COLAD_DISPATCH_FLOATING(call.dtype,
                            launch(aligned_iou_kernel<scalar_t>, grid_for(p.n, kBlock), kBlock, 0, scope.stream(), p));
  }
  return call.out1;
}

std::tuple<Tensor, Tensor> aligned_box_iou_backward_op(const Tensor& grad, const Tensor& boxes1, const Tensor& boxes2,
                                                       std::string_view mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/true, &grad);
  const IouParams& p = call.params;
  if (p.n > 0) {
    const CudaScope scope(call.out1);
    COLAD_DISPATCH_FLOATING(
        call.dtype, launch(aligned_iou_backward_kernel<scalar_t>, grid_for(p.n, kBlock), kBlock, 0, scope.stream(), p));
  }
  return {call.out1, call.out2};
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("box_iou", COLAD_BOX(&colad::box_iou_op));
  m.impl("box_iou_backward", COLAD_BOX(&colad::box_iou_backward_op));
  m.impl("aligned_box_iou", COLAD_BOX(&colad::aligned_box_iou_op));
  m.impl("aligned_box_iou_backward", COLAD_BOX(&colad::aligned_box_iou_backward_op));
}
