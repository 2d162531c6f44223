// assign_cost on CUDA. A block reads a tile of anchors and lists the few that have an object. Then its threads share
// the classes of the listed anchors. The parts of a cost are added in a fixed order.
#include "common/reduce.cuh"
#include "ops/assign_cost/assign_cost.h"

namespace colad {
namespace {

// Anchors of a tile, one a thread. With one in ten matched, the threads share 13 x kParts items. Not tuned on a card.
constexpr int kBlock = 128;
constexpr int kParts = 8;  // 8 threads share the classes of an anchor: together they read 32 bytes, one sector

struct Listed {
  int anchor[kBlock];  // within the tile
  float part[kBlock * kParts];
  int of_warp[kBlock / kWarp];
};

// Lists the threads for which `listed` is true, in order, and returns their number. All threads of the block call it.
__device__ int list_threads(bool listed, Listed& list) {
  const unsigned votes = __ballot_sync(kFullMask, listed);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  if (lane == 0) {
    list.of_warp[warp] = __popc(votes);
  }
  __syncthreads();
  int before = 0, total = 0;
  for (int w = 0; w < kBlock / kWarp; ++w) {
    before += w < warp ? list.of_warp[w] : 0;
    total += list.of_warp[w];
  }
  if (listed) {
    list.anchor[before + __popc(votes & ((1u << lane) - 1))] = threadIdx.x;
  }
  __syncthreads();
  return total;
}

template <typename T>
__global__ void assign_cost_kernel(const __grid_constant__ AssignCostParams p) {
  __shared__ Listed list;
  const int64_t count = p.images * p.anchor_count;
  // True: the classes of an anchor are neighbours in memory. False (class maps): the anchors of a class are.
  const bool rows = p.logits.level[0].stride_channel == 1;
  for (int64_t begin = int64_t(blockIdx.x) * kBlock; begin < count; begin += int64_t(gridDim.x) * kBlock) {
    const int64_t own = begin + threadIdx.x;
    const bool listed = own < count && has_cost(p, own);
    if (own < count && !listed) {
      p.cost[own] = kNoCost;
    }
    const int total = list_threads(listed, list);
    for (int item = threadIdx.x; item < total * kParts; item += kBlock) {
      const int part = rows ? item % kParts : item / total, which = rows ? item / kParts : item % total;
      list.part[which * kParts + part] = class_cost_at<T>(p, begin + list.anchor[which], part, kParts);
    }
    __syncthreads();
    if (threadIdx.x < total) {
      float cost = 0.0f;
      for (int part = 0; part < kParts; ++part) {
        cost += list.part[threadIdx.x * kParts + part];
      }
      const int64_t i = begin + list.anchor[threadIdx.x];
      p.cost[i] = cost + box_cost_at(p, i);
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
    dispatch_floating(p.logits.dtype, [&]<typename T>() {
      launch(assign_cost_kernel<T>, grid_for(work, kBlock), kBlock, 0, scope.stream(), p);
    });
  }
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("assign_cost", COLAD_BOX(&colad::assign_cost_op<colad::AssignCostCuda>));
}
