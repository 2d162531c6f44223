// gmm_em on CUDA: one warp a segment.
#include "common/cuda.cuh"
#include "ops/gmm_em/gmm_em.h"
#include "ops/gmm_em/gmm_em_warp.cuh"

namespace colad {
namespace {

// Four segments a block: few, because their lengths and numbers of iterations differ. Not tuned on a card.
constexpr int kBlock = 128;

__global__ void padding_kernel(GmmEmParams p) {
  for (int64_t i = thread_index(); i < p.count; i += thread_count()) {
    write_padding(p, i);
  }
}

template <typename T>
__global__ void gmm_em_kernel(GmmEmParams p, double* scratch) {  // (N, 2)
  const int lane = threadIdx.x % kWarp;
  for (int64_t g = thread_index() / kWarp; g < p.segments; g += thread_count() / kWarp) {
    // Offsets cannot be checked on CUDA without synchronising with the host: clamp them to the values.
    const int64_t start = p.starts[g] < 0 ? 0 : (p.starts[g] > p.count ? p.count : p.starts[g]);
    const int64_t end = p.ends[g] > p.count ? p.count : p.ends[g];
    const int64_t count = end > start ? end - start : 0;
    const T* values = static_cast<const T*>(p.values) + start;
    const auto value = [values](int64_t i) { return static_cast<double>(values[i]); };
    const EmResult fit = fit_mixture_warp(value, count, scratch + 2 * start, p.options);
    if (lane == 0) {
      write_fit(p, g, fit);
    }
    const MixtureTerms terms = mixture_terms(fit.mixture);
    for (int64_t i = lane; i < count; i += kWarp) {
      write_value(p, start + i, score_value(value(i), terms));
    }
  }
}

struct GmmEmCuda {
  static void run(const GmmEmCall& call) {
    const GmmEmParams& p = call.params;
    if (p.count == 0 && p.segments == 0) {
      return;
    }
    const CudaScope scope(call.values);
    const Tensor scratch = new_tensor(call.values, {p.count, 2}, ScalarType::Double);
    launch(padding_kernel, grid_for(p.count, kBlock), kBlock, 0, scope.stream(), p);
    dispatch_floating(call.dtype, [&]<typename T>() {
      launch(gmm_em_kernel<T>, grid_for(p.segments * kWarp, kBlock), kBlock, 0, scope.stream(), p,
             static_cast<double*>(scratch.data_ptr()));
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) { m.impl("gmm_em", COLAD_BOX(&colad::gmm_em_op<colad::GmmEmCuda>)); }
