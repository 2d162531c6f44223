// assign_cost on CUDA. A block reads a tile of anchors, lists the few that have an object, and computes their costs.
#include "common/cuda.cuh"
#include "ops/assign_cost/listed_costs.cuh"

namespace colad {
namespace {

struct TileList {
  int anchor[kCostBlock];  // within the tile
  int of_warp[kCostBlock / kWarp];
};

// Lists the threads for which `listed` is true, in order, and returns their number. All threads of the block call it.
__device__ int list_threads(bool listed, TileList& list) {
  const unsigned votes = __ballot_sync(kFullMask, listed);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  if (lane == 0) {
    list.of_warp[warp] = __popc(votes);
  }
  __syncthreads();
  int before = 0, total = 0;
  for (int w = 0; w < kCostBlock / kWarp; ++w) {
    before += w < warp ? list.of_warp[w] : 0;
    total += list.of_warp[w];
  }
  if (listed) {
    list.anchor[before + __popc(votes & ((1u << lane) - 1))] = threadIdx.x;
  }
  __syncthreads();
  return total;
}

template <typename T, bool kSquare, bool kProbs>
__global__ void assign_cost_kernel(const __grid_constant__ AssignCostParams p) {
  __shared__ TileList list;
  __shared__ ListedCosts costs;
  const int64_t count = p.images * p.anchor_count;
  for (int64_t begin = int64_t(blockIdx.x) * kCostBlock; begin < count; begin += int64_t(gridDim.x) * kCostBlock) {
    const int64_t own = begin + threadIdx.x;
    const bool listed = own < count && has_cost(p, p.matched[own]);
    if (own < count && !listed) {
      p.cost[own] = kNoCost;
    }
    const int total = list_threads(listed, list);
    for (int first = 0; first < total; first += kAtOnce) {
      const int* const anchor = list.anchor + first;
      for_each_cost<T, kSquare, kProbs>(
          p, minimum(total - first, kAtOnce), costs,
          [=, &p](int i) { return MatchedAnchor{begin + anchor[i], p.matched[begin + anchor[i]]}; },
          [=, &p](int i, float cost) { p.cost[begin + anchor[i]] = cost; });
    }
    // No barrier here: list_threads writes the next list only after its own barrier, when no thread reads this list.
  }
}

}  // namespace

void AssignCostCuda::run(const AssignCostCall& call) {
  const AssignCostParams& p = call.params;
  const int64_t work = p.images * p.anchor_count;
  if (work > 0) {
    const CudaScope scope(call.matched);
    dispatch_costs(p, [&]<typename T, bool kSquare, bool kProbs>() {
      launch(assign_cost_kernel<T, kSquare, kProbs>, grid_for(work, kCostBlock), kCostBlock, 0, scope.stream(), p);
    });
  }
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("assign_cost", COLAD_BOX(&colad::assign_cost_op<colad::AssignCostCuda>));
}
