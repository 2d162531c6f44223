// box_iou and aligned_box_iou on the CPU.
#include <torch/csrc/stable/library.h>

#include <type_traits>
#include <vector>

#include "ops/iou/iou.h"

namespace colad {
namespace {

constexpr int64_t kPairsAThread = 1 << 14;  // about 100 us of work

template <typename At>
void for_each(int64_t count, int64_t grain, At at) {
  torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      at(i);
    }
  });
}

// Calls visit with the mode as a constant: a loop that asks for it at every pair is not vectorised.
template <typename Visit>
void with_constant(IouMode mode, Visit visit) {
  switch (mode) {
    case IouMode::iou:
      return visit(std::integral_constant<IouMode, IouMode::iou>{});
    case IouMode::iof:
      return visit(std::integral_constant<IouMode, IouMode::iof>{});
    case IouMode::giou:
      return visit(std::integral_constant<IouMode, IouMode::giou>{});
    case IouMode::diou:
      return visit(std::integral_constant<IouMode, IouMode::diou>{});
    case IouMode::ciou:
      return visit(std::integral_constant<IouMode, IouMode::ciou>{});
  }
}

// All pairs, row by row; the second boxes coordinate by coordinate, so that a row is computed side by side.
template <typename T>
void pairwise_iou(const IouParams& p) {
  using C = compute_t<T>;
  const int64_t others = p.batches * p.m;
  std::vector<C> x1(others), y1(others), x2(others), y2(others);
  for (int64_t i = 0; i < others; ++i) {
    const Box<C> box = load_box(static_cast<const T*>(p.boxes2), i);
    x1[i] = box.x1, y1[i] = box.y1, x2[i] = box.x2, y2[i] = box.y2;
  }
  with_constant(p.mode, [&](auto mode) {
    for_each(p.batches * p.n, kPairsAThread / (p.m + 1) + 1, [&](int64_t row) {
      const Box<C> box = load_box(static_cast<const T*>(p.boxes1), row);
      const int64_t first = row / p.n * p.m;
      T* out = static_cast<T*>(p.out1) + row * p.m;
      for (int64_t j = 0; j < p.m; ++j) {
        const int64_t i = first + j;
        out[j] = static_cast<T>(box_iou(box, Box<C>{x1[i], y1[i], x2[i], y2[i]}, decltype(mode)::value));
      }
    });
  });
}

Tensor box_iou_op(const Tensor& boxes1, const Tensor& boxes2, std::string mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/false, nullptr);
  COLAD_DISPATCH_FLOATING(call.dtype, pairwise_iou<scalar_t>(call.params));
  return call.out1;
}

std::tuple<Tensor, Tensor> box_iou_backward_op(const Tensor& grad, const Tensor& boxes1, const Tensor& boxes2,
                                               std::string mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/false, &grad);
  const IouParams& p = call.params;
  const int64_t grain = kPairsAThread / (p.n + p.m + 1) + 1;
  COLAD_DISPATCH_FLOATING(call.dtype, for_each(p.batches * (p.n + p.m), grain,
                                               [&](int64_t i) { pairwise_iou_backward_at<scalar_t>(p, i); }));
  return {call.out1, call.out2};
}

Tensor aligned_box_iou_op(const Tensor& boxes1, const Tensor& boxes2, std::string mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/true, nullptr);
  const IouParams& p = call.params;
  COLAD_DISPATCH_FLOATING(call.dtype, for_each(p.n, kPairsAThread, [&](int64_t i) { aligned_iou_at<scalar_t>(p, i); }));
  return call.out1;
}

std::tuple<Tensor, Tensor> aligned_box_iou_backward_op(const Tensor& grad, const Tensor& boxes1, const Tensor& boxes2,
                                                       std::string mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/true, &grad);
  const IouParams& p = call.params;
  COLAD_DISPATCH_FLOATING(call.dtype,
                          for_each(p.n, kPairsAThread, [&](int64_t i) { aligned_iou_backward_at<scalar_t>(p, i); }));
  return {call.out1, call.out2};
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("box_iou", TORCH_BOX(&colad::box_iou_op));
  m.impl("box_iou_backward", TORCH_BOX(&colad::box_iou_backward_op));
  m.impl("aligned_box_iou", TORCH_BOX(&colad::aligned_box_iou_op));
  m.impl("aligned_box_iou_backward", TORCH_BOX(&colad::aligned_box_iou_backward_op));
}
