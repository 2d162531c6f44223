// indicator_means and select_costs on CUDA: one thread a value.
#include "common/cuda.cuh"
#include "ops/colad_assign/colad_assign.h"

namespace colad {
namespace {

constexpr int kMeansBlock = 32;    // a few networks x some images; each thread adds up the objects of one image
constexpr int kSelectBlock = 256;  // enough warps to hide the loads; not tuned on a card

__global__ void indicator_means_kernel(IndicatorParams p) {
  for (int64_t i = thread_index(); i < p.networks * p.images; i += thread_count()) {
    write_indicator_mean(p, i);
  }
}

__global__ void select_costs_kernel(const __grid_constant__ SelectParams p) {
  for (int64_t i = thread_index(); i < p.images * p.anchor_count; i += thread_count()) {
    write_selected(p, i);
  }
}

struct ColadAssignCuda {
  static void means(const IndicatorCall& call) {
    const int64_t work = call.params.networks * call.params.images;
    if (work > 0) {
      const CudaScope scope(call.values);
      launch(indicator_means_kernel, grid_for(work, kMeansBlock), kMeansBlock, 0, scope.stream(), call.params);
    }
  }

  static void select(const SelectCall& call) {
    const int64_t work = call.params.images * call.params.anchor_count;
    if (work > 0) {
      const CudaScope scope(call.costs);
      launch(select_costs_kernel, grid_for(work, kSelectBlock), kSelectBlock, 0, scope.stream(), call.params);
    }
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("indicator_means", COLAD_BOX(&colad::indicator_means_op<colad::ColadAssignCuda>));
  m.impl("select_costs", COLAD_BOX(&colad::select_costs_op<colad::ColadAssignCuda>));
}
