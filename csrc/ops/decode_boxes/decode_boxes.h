// Contract of decode_boxes and its backward: the checks and the allocations. Both backends call it.
#pragma once

#include <vector>

#include "common/allocate.h"
#include "common/boxed.h"
#include "common/level_views.h"
#include "ops/decode_boxes/decode_boxes_math.h"
#include "ops/iou/iou.h"

namespace colad {

// The deltas of one level, read in place, or their gradient. A location may have several anchors: anchor
// location * shapes + shape of the level.
struct DeltaLevel {
  void* data;
  int64_t first_anchor;  // the number of anchors of all levels before this one
  int64_t locations, shapes;
  int64_t stride_image, stride_location, stride_shape, stride_channel;

  COLAD_HD int64_t anchors() const { return locations * shapes; }
};

struct DeltaLevels {
  DeltaLevel level[kMaxLevels];
  int count;
};

struct DecodeParams {
  DeltaLevels deltas, gradients;  // gradients: for the backward
  const void* anchors;            // (anchor_count, 4) of dtype anchor_dtype
  ScalarType anchor_dtype;
  void* boxes;       // (images, anchor_count, 4) in the compute type
  const void* grad;  // the same, for the backward
  int64_t images, anchor_count;
  DecodeOptions<double> options;

  template <typename C>
  COLAD_HD DecodeOptions<C> options_of() const {
    return {static_cast<C>(options.std_x), static_cast<C>(options.std_y), static_cast<C>(options.std_w),
            static_cast<C>(options.std_h), static_cast<C>(options.limit)};
  }
};

// The tensors that own the memory of the pointers in `params`.
struct DecodeCall {
  Tensor anchors, boxes, grad;
  std::vector<Tensor> gradients;
  DecodeParams params;
  ScalarType dtype;  // of the deltas
};

inline DecodeOptions<double> decode_options(const std::vector<double>& stds, double max_ratio) {
  check(stds.size() == 4, "stds should be 4 numbers, got ", stds.size());
  for (const double std : stds) {
    check_finite(std, "stds");
  }
  check(max_ratio >= 1 && max_ratio <= kMostRatio, "max_ratio should be in 1..", kMostRatio, ", got ", max_ratio);
  return {.std_x = stds[0], .std_y = stds[1], .std_w = stds[2], .std_h = stds[3], .limit = std::log(max_ratio)};
}

template <>
inline constexpr auto kMakeOptions<DecodeOptions<double>> = &decode_options;

inline DeltaLevel delta_level(const Tensor& level, int64_t first_anchor) {
  const Sizes sizes = level.sizes(), strides = level.strides();
  const bool several = sizes.size() == 4;
  return {level.data_ptr(),
          first_anchor,
          sizes[1],
          several ? sizes[2] : 1,
          strides[0],
          strides[1],
          several ? strides[2] : 0,
          strides[sizes.size() - 1]};
}

// Checks that `deltas` are views (B, A_l, 4) or (B, locations, shapes, 4) that together have `anchors` anchors.
inline DeltaLevels check_deltas(const std::vector<Tensor>& deltas, const Tensor& anchors) {
  check(!deltas.empty() && deltas.size() <= kMaxLevels, "deltas should have 1 to ", kMaxLevels, " levels, got ",
        deltas.size());
  DeltaLevels levels{};
  levels.count = static_cast<int>(deltas.size());
  int64_t first = 0;
  for (size_t l = 0; l < deltas.size(); ++l) {
    const Tensor& level = deltas[l];
    check_floating(level, "deltas");
    check_same_dtype(level, "deltas", deltas[0], "its first level");
    check_same_device(level, "deltas", anchors, "anchors");
    const Sizes sizes = level.sizes();
    check((sizes.size() == 3 || sizes.size() == 4) && sizes[sizes.size() - 1] == 4 && sizes[0] == deltas[0].size(0),
          "deltas level ", l,
          " should have shape (B, anchors of the level, 4) or (B, locations, anchors of a location, "
          "4), with the B of the first level, got ",
          shape_of(level));
    levels.level[l] = delta_level(level, first);
    first += levels.level[l].anchors();
  }
  check(first == anchors.size(0), "deltas should have ", anchors.size(0), " anchors over all levels, got ", first);
  return levels;
}

// `grad` is given for the backward.
inline DecodeCall decode_contract(const Tensor& anchors, const std::vector<Tensor>& deltas,
                                  const DecodeOptions<double>& options, const Tensor* grad) {
  check_shape(anchors, "anchors", {-1, 4}, "(A, 4)");
  check_floating(anchors, "anchors");
  DecodeParams p{};
  p.deltas = check_deltas(deltas, anchors);
  p.images = deltas[0].size(0);
  p.anchor_count = anchors.size(0);
  p.anchor_dtype = anchors.scalar_type();
  p.options = options;
  DecodeCall call{as_boxes(anchors), anchors, anchors, {}, p, deltas[0].scalar_type()};
  call.params.anchors = call.anchors.data_ptr();
  const ScalarType result = compute_type(call.dtype);
  if (grad == nullptr) {
    call.boxes = new_tensor(anchors, {p.images, p.anchor_count, 4}, result);
    call.params.boxes = call.boxes.data_ptr();
    return call;
  }
  check_shape(*grad, "grad", {p.images, p.anchor_count, 4}, "(B, A, 4)");
  check_dtype(*grad, "grad", result);
  check_same_device(*grad, "grad", anchors, "anchors");
  call.grad = as_boxes(*grad);
  call.params.grad = call.grad.data_ptr();
  call.params.gradients.count = p.deltas.count;
  for (size_t l = 0; l < deltas.size(); ++l) {
    // The order of the deltas in memory: autograd then hands a map's gradient on without a copy.
    call.gradients.push_back(new_like(deltas[l]));
    call.params.gradients.level[l] = delta_level(call.gradients[l], p.deltas.level[l].first_anchor);
  }
  return call;
}

// The operators. Backend::run<T, kBackward>(call) fills the outputs.
template <typename Backend>
Tensor decode_boxes_op(const Tensor& anchors, const std::vector<Tensor>& deltas, const DecodeOptions<double>& options) {
  const DecodeCall call = decode_contract(anchors, deltas, options, nullptr);
  if (call.params.images * call.params.anchor_count > 0) {
    dispatch_floating(call.dtype, [&]<typename T>() { Backend::template run<T, false>(call); });
  }
  return call.boxes;
}

template <typename Backend>
std::vector<Tensor> decode_boxes_backward_op(const Tensor& grad, const Tensor& anchors,
                                             const std::vector<Tensor>& deltas, const DecodeOptions<double>& options) {
  const DecodeCall call = decode_contract(anchors, deltas, options, &grad);
  if (call.params.images * call.params.anchor_count > 0) {
    dispatch_floating(call.dtype, [&]<typename T>() { Backend::template run<T, true>(call); });
  }
  return call.gradients;
}

}  // namespace colad
