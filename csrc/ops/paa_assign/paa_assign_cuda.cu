// The whole assignment on CUDA: four kernels, one after the other. The second pass of matching lists the matched
// anchors; so the costs and the split are work for the candidates only.
#include "ops/assign_cost/listed_costs.cuh"
#include "ops/match_anchors/match_anchors.h"
#include "ops/paa_assign/candidate_costs.h"
#include "ops/paa_assign/paa_assign.h"
#include "ops/split_candidates/candidate_keys.cuh"

namespace colad {
namespace {

constexpr int kNetworksAtOnce = 2;  // as many as the arguments of a launch have room for
constexpr int kMostBlocks =
    1056;  // 8 a multiprocessor of the largest cards; the number of candidates is not known here

struct CostsOfNetworks {
  AssignCostParams network[kNetworksAtOnce];
  int first, count;  // the first one's place among all networks
};

template <typename T, bool kSquare>
__global__ void candidate_cost_kernel(const __grid_constant__ CostsOfNetworks p,
                                      const __grid_constant__ CandidateBuckets buckets) {
  __shared__ ListedCosts memory;
  wait_for_previous_kernel();
  const int listed = *buckets.listed_count, groups = (listed + kAtOnce - 1) / kAtOnce;
  for (int64_t item = blockIdx.x; item < int64_t(p.count) * groups; item += gridDim.x) {
    const int network = static_cast<int>(item / groups), first = static_cast<int>(item % groups) * kAtOnce;
    const AssignCostParams& costs = p.network[network];
    const ListedAnchor* const list = buckets.listed + first;
    const auto matched = [=](int i) { return MatchedAnchor{list[i].index, list[i].row}; };
    const auto use = [&](int i, float cost) {
      costs.cost[list[i].index] = cost;
      write_key(buckets, p.first + network, list[i], cost);
    };
    if (costs.options.probs) {
      for_each_cost<T, false, true>(costs, minimum(listed - first, kAtOnce), memory, matched, use);
    } else {
      for_each_cost<T, kSquare, false>(costs, minimum(listed - first, kAtOnce), memory, matched, use);
    }
  }
}

struct PaaAssignCuda {
  static constexpr bool kWritesIou = false, kSplitsOverMatches = true;
  static constexpr int64_t kSamplesInPlace = SplitCandidatesCuda::kSamplesInPlace;

  static void run(const PaaAssignCall& call) {
    const MatchParams& m = call.match.params;
    if (m.objects == 0 && m.images * m.anchor_count == 0) {
      return;
    }
    const CudaScope scope(call.match.anchors);
    const BucketMemory memory = new_buckets(call.match.anchors, m.images, m.anchor_count, m.objects);
    MatchAnchorsCuda::match(call.match, {memory.buckets, call.cost.params.cost}, scope);
    compute_candidate_costs({call.cost.params}, memory.buckets, scope);
    SplitCandidatesCuda::split(call.split.params, memory.buckets, scope);
  }
};

}  // namespace

void compute_candidate_costs(const std::vector<AssignCostParams>& networks, const CandidateBuckets& buckets,
                             const CudaScope& scope) {
  const auto dtype = [&](size_t k) { return networks[k].logits.dtype; };
  for (size_t first = 0, count = 1; first < networks.size(); first += count) {
    count = 1;
    while (count < kNetworksAtOnce && first + count < networks.size() && dtype(first + count) == dtype(first)) {
      ++count;
    }
    CostsOfNetworks p{{}, static_cast<int>(first), static_cast<int>(count)};
    std::copy_n(networks.begin() + first, count, p.network);
    const unsigned grid = std::min<unsigned>(grid_for(count * buckets.places(), kAtOnce), kMostBlocks);
    dispatch_floating(dtype(first), [&]<typename T>() {
      if (networks[0].options.focal.gamma == 2.0f) {
        launch_dependent(candidate_cost_kernel<T, true>, grid, kCostBlock, 0, scope.stream(), p, buckets);
      } else {
        launch_dependent(candidate_cost_kernel<T, false>, grid, kCostBlock, 0, scope.stream(), p, buckets);
      }
    });
  }
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("paa_assign", COLAD_BOX(&colad::paa_assign_op<colad::PaaAssignCuda>));
}
