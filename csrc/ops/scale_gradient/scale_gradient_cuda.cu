// scale_gradient_ on CUDA.
#include "common/boxed.h"
#include "ops/losses/loss_pack.cuh"
#include "ops/scale_gradient/scale_gradient.h"

namespace colad {

constexpr int kScaleBlock = 256;  // not tuned on a card

// The first and the last elements are not in a pack of 16 aligned bytes.
template <typename T>
__global__ void scale_gradient_kernel(T* gradient, const compute_t<T>* grad, int64_t count) {
  using C = compute_t<T>;
  constexpr int n = kPack<T>;
  const C factor = *grad;
  if (factor == C(1)) {
    return;
  }
  const auto scale = [=](int64_t i) {
    gradient[i] = static_cast<T>(scaled_gradient(static_cast<C>(gradient[i]), factor));
  };
  const int64_t unaligned = (kPackBytes - reinterpret_cast<uintptr_t>(gradient) % kPackBytes) % kPackBytes / sizeof(T);
  const int64_t first = unaligned < count ? unaligned : count, packs = (count - first) / n, last = first + packs * n;
  for (int64_t i = thread_index(); i < packs; i += thread_count()) {
    Pack<T, n> pack = load_pack<T, n>(gradient + first, i * n);
#pragma unroll
    for (int j = 0; j < n; ++j) {
      pack.values[j] = static_cast<T>(scaled_gradient(value_of(pack, j), factor));
    }
    store_pack(gradient + first, i * n, pack);
  }
  if (thread_index() < first) {
    scale(thread_index());
  }
  if (thread_index() < count - last) {
    scale(last + thread_index());
  }
}

struct ScaleGradientCuda {
  template <typename T>
  static void run(const ScaleGradientCall& call, const Tensor& gradient) {
    const CudaScope scope(gradient);
    // All blocks run at once, so that a launch that has nothing to do is short.
    const int64_t blocks = (call.count / kPack<T> + kScaleBlock - 1) / kScaleBlock;
    const unsigned grid = static_cast<unsigned>(std::clamp<int64_t>(blocks, 1, blocks_of_card(kScaleBlock)));
    launch(scale_gradient_kernel<T>, grid, kScaleBlock, 0, scope.stream(), static_cast<T*>(call.gradient),
           static_cast<const compute_t<T>*>(call.grad), call.count);
  }
};

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("scale_gradient_", COLAD_BOX(&colad::scale_gradient_op<colad::ScaleGradientCuda>));
}
