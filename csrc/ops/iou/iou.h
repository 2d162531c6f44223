// Contract of box_iou and aligned_box_iou: the checks and the allocations. Both backends call it.
#pragma once

#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "common/allocate.h"
#include "common/dispatch.h"
#include "ops/iou/iou_backward_math.h"

namespace colad {

inline IouMode iou_mode(std::string_view mode, const char* name = "mode") {
  constexpr Choice<IouMode> kModes[] = {{"iou", IouMode::iou},
                                        {"iof", IouMode::iof},
                                        {"giou", IouMode::giou},
                                        {"diou", IouMode::diou},
                                        {"ciou", IouMode::ciou}};
  return choice(mode, name, kModes);
}

// Calls visit with the mode as a compile-time constant. The compiler does not vectorise a loop that tests the mode at
// every pair.
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

// A box in memory is loaded and stored as a whole: 16 bytes in float32.
constexpr int64_t kWidestLoad = 16;

template <typename T>
struct alignas(4 * sizeof(T) < kWidestLoad ? 4 * sizeof(T) : kWidestLoad) StoredBox {
  T x1, y1, x2, y2;
};

template <typename T>
COLAD_HD Box<compute_t<T>> load_box(const T* boxes, int64_t row) {
  using C = compute_t<T>;
  const StoredBox<T> b = reinterpret_cast<const StoredBox<T>*>(boxes)[row];
  return {static_cast<C>(b.x1), static_cast<C>(b.y1), static_cast<C>(b.x2), static_cast<C>(b.y2)};
}

template <typename T>
COLAD_HD void store_box(T* boxes, int64_t row, const Box<compute_t<T>>& b) {
  reinterpret_cast<StoredBox<T>*>(boxes)[row] = {static_cast<T>(b.x1), static_cast<T>(b.y1), static_cast<T>(b.x2),
                                                 static_cast<T>(b.y2)};
}

// Boxes as load_box needs them: contiguous and aligned. Almost all tensors are; odd slices of a buffer are copied.
inline Tensor as_boxes(const Tensor& boxes) {
  const Tensor rows = as_contiguous(boxes);
  return reinterpret_cast<uintptr_t>(rows.data_ptr()) % kWidestLoad == 0 ? rows : copy_of(rows);
}

inline std::optional<Tensor> as_boxes(const std::optional<Tensor>& boxes) {
  return boxes ? std::optional<Tensor>(as_boxes(*boxes)) : std::nullopt;
}

// Pairwise: batches x n boxes and batches x m boxes give batches x n x m values. Aligned: n pairs of boxes, with
// batches = 1 and m = 1.
struct IouParams {
  const void *boxes1, *boxes2, *grad;
  void *out1, *out2;
  int64_t batches, n, m;
  IouMode mode;
};

// The tensors that own the memory of the pointers in `params`.
struct IouCall {
  Tensor boxes1, boxes2, grad, out1, out2;
  IouParams params;
  ScalarType dtype;
};

inline void check_boxes(const Tensor& boxes, const char* name) {
  check_floating(boxes, name);
  check(boxes.dim() >= 1 && boxes.size(boxes.dim() - 1) == 4, name, " should have shape (..., 4), got ",
        shape_of(boxes));
}

// `grad` is given for the backward. `aligned`: row i of boxes1 is paired with row i of boxes2 only.
inline IouCall iou_contract(const Tensor& boxes1, const Tensor& boxes2, std::string_view mode, bool aligned,
                            const Tensor* grad) {
  check_boxes(boxes1, "boxes1");
  check_boxes(boxes2, "boxes2");
  check_same_dtype(boxes1, "boxes1", boxes2, "boxes2");
  check_same_device(boxes1, "boxes1", boxes2, "boxes2");
  const int64_t paired = boxes1.dim() - (aligned ? 0 : 2);  // leading dimensions that must agree
  check(paired >= 0 && boxes1.dim() == boxes2.dim(), "boxes1 and boxes2 should have as many dimensions, at least ",
        aligned ? 1 : 2, ", got ", shape_of(boxes1), " and ", shape_of(boxes2));
  std::vector<int64_t> sizes;
  IouParams p{};
  p.batches = 1;
  for (int64_t d = 0; d < paired; ++d) {
    check(boxes1.size(d) == boxes2.size(d), "boxes1 and boxes2 should agree in dimension ", d, ", got ",
          shape_of(boxes1), " and ", shape_of(boxes2));
    sizes.push_back(boxes1.size(d));
    p.batches *= boxes1.size(d);
  }
  if (aligned) {
    sizes.pop_back();
    p.n = p.batches / 4;
    p.batches = 1;
    p.m = 1;
  } else {
    p.n = boxes1.size(paired);
    p.m = boxes2.size(paired);
    sizes.push_back(p.n);
    sizes.push_back(p.m);
  }
  p.mode = iou_mode(mode);

  IouCall call{as_boxes(boxes1), as_boxes(boxes2), boxes1, boxes1, boxes2, p, boxes1.scalar_type()};
  if (grad == nullptr) {
    call.out1 = new_tensor(boxes1, sizes);
  } else {
    check_shape(*grad, "grad", sizes, "of the output");
    check_same_dtype(*grad, "grad", boxes1, "boxes1");
    check_same_device(*grad, "grad", boxes1, "boxes1");
    call.grad = as_contiguous(*grad);
    call.params.grad = call.grad.data_ptr();
    call.out1 = new_tensor(boxes1, boxes1.sizes());
    call.out2 = new_tensor(boxes2, boxes2.sizes());
    call.params.out2 = call.out2.data_ptr();
  }
  call.params.boxes1 = call.boxes1.data_ptr();
  call.params.boxes2 = call.boxes2.data_ptr();
  call.params.out1 = call.out1.data_ptr();
  return call;
}

// One output of the aligned forward.
template <typename T>
COLAD_HD void aligned_iou_at(const IouParams& p, int64_t i) {
  const auto* boxes1 = static_cast<const T*>(p.boxes1);
  const auto* boxes2 = static_cast<const T*>(p.boxes2);
  static_cast<T*>(p.out1)[i] = static_cast<T>(box_iou(load_box(boxes1, i), load_box(boxes2, i), p.mode));
}

template <typename T>
COLAD_HD void aligned_iou_backward_at(const IouParams& p, int64_t i) {
  using C = compute_t<T>;
  Box<C> d1{}, d2{};
  box_iou_backward(load_box(static_cast<const T*>(p.boxes1), i), load_box(static_cast<const T*>(p.boxes2), i), p.mode,
                   static_cast<C>(static_cast<const T*>(p.grad)[i]), d1, d2);
  store_box(static_cast<T*>(p.out1), i, d1);
  store_box(static_cast<T*>(p.out2), i, d2);
}

// One output of the pairwise forward; `i` runs over batches x n x m.
template <typename T>
COLAD_HD void pairwise_iou_at(const IouParams& p, int64_t i) {
  const int64_t row = quotient(i, p.m);
  const int64_t other = quotient(row, p.n) * p.m + (i - row * p.m);
  static_cast<T*>(p.out1)[i] = static_cast<T>(box_iou(load_box(static_cast<const T*>(p.boxes1), row),
                                                      load_box(static_cast<const T*>(p.boxes2), other), p.mode));
}

// The gradient of one box. `i` runs over the batches x n boxes of boxes1, then over the batches x m boxes of boxes2.
// Each box adds up its own pairs in order: no atomics are needed, and the sum is the same at every run.
template <typename T>
COLAD_HD void pairwise_iou_backward_at(const IouParams& p, int64_t i) {
  using C = compute_t<T>;
  const auto* boxes1 = static_cast<const T*>(p.boxes1);
  const auto* boxes2 = static_cast<const T*>(p.boxes2);
  const auto* grad = static_cast<const T*>(p.grad);
  const bool first = i < p.batches * p.n;
  const int64_t row = first ? i : i - p.batches * p.n;
  const int64_t batch = row / (first ? p.n : p.m), index = row % (first ? p.n : p.m);
  Box<C> d1{}, d2{};
  for (int64_t k = 0; k < (first ? p.m : p.n); ++k) {
    const int64_t r1 = first ? row : batch * p.n + k, r2 = first ? batch * p.m + k : row;
    const int64_t pair = first ? row * p.m + k : (batch * p.n + k) * p.m + index;
    box_iou_backward(load_box(boxes1, r1), load_box(boxes2, r2), p.mode, static_cast<C>(grad[pair]), d1, d2);
  }
  store_box(static_cast<T*>(first ? p.out1 : p.out2), row, first ? d1 : d2);
}

// The operators. Each function of Backend fills the outputs of a call.
template <typename Backend>
Tensor box_iou_op(const Tensor& boxes1, const Tensor& boxes2, std::string_view mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/false, nullptr);
  Backend::pairwise(call);
  return call.out1;
}

template <typename Backend>
std::tuple<Tensor, Tensor> box_iou_backward_op(const Tensor& grad, const Tensor& boxes1, const Tensor& boxes2,
                                               std::string_view mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/false, &grad);
  Backend::pairwise_backward(call);
  return {call.out1, call.out2};
}

template <typename Backend>
Tensor aligned_box_iou_op(const Tensor& boxes1, const Tensor& boxes2, std::string_view mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/true, nullptr);
  Backend::aligned(call);
  return call.out1;
}

template <typename Backend>
std::tuple<Tensor, Tensor> aligned_box_iou_backward_op(const Tensor& grad, const Tensor& boxes1, const Tensor& boxes2,
                                                       std::string_view mode) {
  const IouCall call = iou_contract(boxes1, boxes2, mode, /*aligned=*/true, &grad);
  Backend::aligned_backward(call);
  return {call.out1, call.out2};
}

}  // namespace colad
