// assign_cost on CUDA: a block looks through a tile of anchors, lists the few that have an object, and its threads
// share their classes. The parts of a cost are added in a fixed order.
#include "common/reduce.cuh"
#include "ops/assign_cost/assign_cost.h"

namespace colad {
namespace {

constexpr int kBlock = 128;  // anchors of a tile, one a thread; with one in ten matched, 13 x kParts items; not tuned
                             // on a card
constexpr int kParts = 8;    // classes of an anchor are dealt to 8 threads: together they read 32 bytes, one sector

struct Listed {
  int anchor[kBlock];  // of the tile
  float part[kBlock * kParts];
  int of_warp[kBlock / kWarp];
};

// Lists the threads for which `listed` holds, in order; returns how many. All threads of the block call it.
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
  const bool rows = p.logits.level[0].stride_channel == 1;  // classes side by side, or maps: anchors side by side
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
    // No barrier here: the list is made anew after the next one, which waits for those who still read this one.
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
