// gmm_em on CUDA: one warp a segment.
#include "common/cuda.cuh"
#include "ops/gmm_em/gmm_em.h"
#include "ops/gmm_em/gmm_em_warp.cuh"

namespace colad {
namespace {

// Four segments a block: few, because their lengths and numbers of iterations differ. Not tuned on a card.
constexpr int kBlock = 128;

struct Range {
  int64_t begin, end;
};

// The range of segment g. Offsets cannot be checked on CUDA without synchronising with the host: they are clamped to
// the values.
__device__ Range range_of(const GmmEmParams& p, int64_t g) {
  const auto clamped = [&](int64_t offset) { return offset < 0 ? 0 : (offset > p.count ? p.count : offset); };
  const int64_t begin = clamped(p.starts[g]), end = clamped(p.ends[g]);
  return {begin, end < begin ? begin : end};
}

// Writes the values between the segment before g and segment g, or the end: they belong to no segment.
__device__ void write_gap(const GmmEmParams& p, int64_t g) {
  const Range gap{g > 0 ? range_of(p, g - 1).end : 0, g < p.segments ? range_of(p, g).begin : p.count};
  for (int64_t i = gap.begin + threadIdx.x % kWarp; i < gap.end; i += kWarp) {
    write_padding(p, i);
  }
}

template <typename T>
__device__ void fit_segment(const GmmEmParams& p, int64_t g) {
  const int lane = threadIdx.x % kWarp;
  const Range range = range_of(p, g);
  const T* values = static_cast<const T*>(p.values) + range.begin;
  const auto value = [values](int64_t i) { return static_cast<double>(values[i]); };
  const int64_t count = range.end - range.begin;
  const EmResult fit = fit_mixture_warp(value, count, p.options);
  if (lane == 0) {
    write_fit(p, g, fit);
  }
  const MixtureTerms terms = mixture_terms(fit.mixture);
  for (int64_t i = lane; i < count; i += kWarp) {
    write_value(p, range.begin + i, score_value(value(i), terms));
  }
}

// A warp takes a segment and the gap before it. The last item is the gap after the last segment.
template <typename T>
__global__ void gmm_em_kernel(GmmEmParams p) {
  const int64_t warps = blockDim.x / kWarp;
  for (int64_t g = blockIdx.x * warps + warp_in_block(); g <= p.segments; g += gridDim.x * warps) {
    write_gap(p, g);
    if (g < p.segments) {
      fit_segment<T>(p, g);
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
    dispatch_floating(call.dtype, [&]<typename T>() {
      launch(gmm_em_kernel<T>, grid_for((p.segments + 1) * kWarp, kBlock), kBlock, 0, scope.stream(), p);
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) { m.impl("gmm_em", COLAD_BOX(&colad::gmm_em_op<colad::GmmEmCuda>)); }
