// decode_boxes and its backward on CUDA: one thread a box. Threads of a warp have neighbouring locations, so that they
// read and write neighbouring values of a map.
#include "common/boxed.h"
#include "common/cuda.cuh"
#include "ops/decode_boxes/decode_boxes.h"

namespace colad {
namespace {

constexpr int kBlock = 256;  // enough warps to hide the loads; not tuned on a card

// Where thread `i` of the images x anchors finds its deltas and its box.
struct BoxPlace {
  int level;
  int64_t image, location, shape, anchor;

  __device__ int64_t element_of(const DeltaLevel& of) const {
    return image * of.stride_image + location * of.stride_location + shape * of.stride_shape;
  }
};

__device__ BoxPlace place_of(const DecodeParams& p, int64_t i) {
  BoxPlace place{};
  place.image = quotient(i, p.anchor_count);
  const int64_t in_image = i - place.image * p.anchor_count;
  while (place.level + 1 < p.deltas.count && in_image >= p.deltas.level[place.level + 1].first_anchor) {
    ++place.level;
  }
  const DeltaLevel& level = p.deltas.level[place.level];
  const int64_t in_level = in_image - level.first_anchor;
  place.shape = level.shapes == 1 ? 0 : quotient(in_level, level.locations);
  place.location = in_level - place.shape * level.locations;
  place.anchor = level.first_anchor + place.location * level.shapes + place.shape;
  return place;
}

template <typename C, typename A>
__device__ CentredBox<C> centred_anchor(const void* anchors, int64_t anchor) {
  const auto box = load_box(static_cast<const A*>(anchors), anchor);
  return centred(
      Box<C>{static_cast<C>(box.x1), static_cast<C>(box.y1), static_cast<C>(box.x2), static_cast<C>(box.y2)});
}

template <typename C>
__device__ CentredBox<C> anchor_at(const DecodeParams& p, int64_t anchor) {
  switch (p.anchor_dtype) {
    case ScalarType::Float:
      return centred_anchor<C, float>(p.anchors, anchor);
    case ScalarType::Double:
      return centred_anchor<C, double>(p.anchors, anchor);
    case ScalarType::Half:
      return centred_anchor<C, torch::headeronly::Half>(p.anchors, anchor);
    default:
      return centred_anchor<C, torch::headeronly::BFloat16>(p.anchors, anchor);
  }
}

template <typename T>
__global__ void decode_boxes_kernel(const __grid_constant__ DecodeParams p) {
  using C = compute_t<T>;
  const DecodeOptions<C> options = p.options_of<C>();
  for (int64_t i = thread_index(); i < p.images * p.anchor_count; i += thread_count()) {
    const BoxPlace place = place_of(p, i);
    const DeltaLevel& level = p.deltas.level[place.level];
    const T* deltas = static_cast<const T*>(level.data) + place.element_of(level);
    const int64_t step = level.stride_channel;
    const BoxDeltas<C> delta{static_cast<C>(deltas[0]), static_cast<C>(deltas[step]), static_cast<C>(deltas[2 * step]),
                             static_cast<C>(deltas[3 * step])};
    store_box(static_cast<C*>(p.boxes), place.image * p.anchor_count + place.anchor,
              decode_box(anchor_at<C>(p, place.anchor), delta, options));
  }
}

template <typename T>
__global__ void decode_boxes_backward_kernel(const __grid_constant__ DecodeParams p) {
  using C = compute_t<T>;
  const DecodeOptions<C> options = p.options_of<C>();
  for (int64_t i = thread_index(); i < p.images * p.anchor_count; i += thread_count()) {
    const BoxPlace place = place_of(p, i);
    const DeltaLevel &level = p.deltas.level[place.level], &result = p.gradients.level[place.level];
    const T* deltas = static_cast<const T*>(level.data) + place.element_of(level);
    const Box<C> grad = load_box(static_cast<const C*>(p.grad), place.image * p.anchor_count + place.anchor);
    const BoxDeltas<C> by =
        decode_box_backward(anchor_at<C>(p, place.anchor), static_cast<C>(deltas[2 * level.stride_channel]),
                            static_cast<C>(deltas[3 * level.stride_channel]), options, grad);
    T* out = static_cast<T*>(result.data) + place.element_of(result);
    const int64_t step = result.stride_channel;
    out[0] = static_cast<T>(by.dx), out[step] = static_cast<T>(by.dy);
    out[2 * step] = static_cast<T>(by.dw), out[3 * step] = static_cast<T>(by.dh);
  }
}

struct DecodeBoxesCuda {
  template <typename T, bool kBackward>
  static void run(const DecodeCall& call) {
    const DecodeParams& p = call.params;
    const CudaScope scope(call.anchors);
    const unsigned grid = grid_for(p.images * p.anchor_count, kBlock);
    if constexpr (kBackward) {
      launch(decode_boxes_backward_kernel<T>, grid, kBlock, 0, scope.stream(), p);
    } else {
      launch(decode_boxes_kernel<T>, grid, kBlock, 0, scope.stream(), p);
    }
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("decode_boxes", COLAD_BOX(&colad::decode_boxes_op<colad::DecodeBoxesCuda>));
  m.impl("decode_boxes_backward", COLAD_BOX(&colad::decode_boxes_backward_op<colad::DecodeBoxesCuda>));
}
