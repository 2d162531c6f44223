// The costs of all candidates, for all networks that assign together. The blocks take groups of listed anchors.
#pragma once

#include "ops/assign_cost/listed_costs.cuh"
#include "ops/split_candidates/candidate_keys.cuh"

namespace colad {

constexpr int kNetworksAtOnce = 2;  // as many as the arguments of a launch have room for
constexpr int kMostBlocks =
    1056;  // 8 a multiprocessor of the largest cards; the host does not know how many are listed

struct CostsOfNetworks {
  AssignCostParams network[kNetworksAtOnce];
  int first, count;  // the first one's place among all networks
  bool last;         // no network comes after these
};

// Writes the costs of the listed anchors, and their keys to the buckets. Calls done(list, count) after each group of
// anchors of a network. All threads of a block of kCostBlock call it.
template <typename T, bool kSquare, typename Done>
__device__ void write_candidate_costs(const CostsOfNetworks& p, const CandidateBuckets& buckets, ListedCosts& memory,
                                      Done done) {
  const int listed = *buckets.listed_count, groups = (listed + kAtOnce - 1) / kAtOnce;
  for (int64_t item = blockIdx.x; item < int64_t(p.count) * groups; item += gridDim.x) {
    const int network = item < groups ? 0 : 1, first = static_cast<int>(item - network * groups) * kAtOnce;
    const int count = minimum(listed - first, kAtOnce);
    const AssignCostParams& costs = p.network[network];
    const ListedAnchor* const list = buckets.listed + first;
    const auto matched = [=](int i) { return MatchedAnchor{list[i].index, list[i].row}; };
    const auto use = [&](int i, float cost) {
      costs.cost[list[i].index] = cost;
      write_key(buckets, p.first + network, list[i], cost);
    };
    if (costs.options.probs) {
      for_each_cost<T, false, true>(costs, count, memory, matched, use);
    } else {
      for_each_cost<T, kSquare, false>(costs, count, memory, matched, use);
    }
    done(list, count);
  }
}

// Calls visit<T, kSquare>(costs, grid) for each launch that the costs of all networks take. The networks of a launch
// have the same dtype.
template <typename Visit>
void for_each_cost_launch(const std::vector<AssignCostParams>& networks, const CandidateBuckets& buckets, Visit visit) {
  static_assert(kNetworksAtOnce == 2);
  for (size_t first = 0, count = 0; first < networks.size(); first += count) {
    const ScalarType dtype = networks[first].logits.dtype;
    count = first + 1 < networks.size() && networks[first + 1].logits.dtype == dtype ? 2 : 1;
    CostsOfNetworks p{{}, static_cast<int>(first), static_cast<int>(count), first + count == networks.size()};
    std::copy_n(networks.begin() + first, count, p.network);
    const unsigned grid = std::min<unsigned>(grid_for(count * buckets.places(), kAtOnce), kMostBlocks);
    dispatch_floating(dtype, [&]<typename T>() {
      if (networks[first].options.focal.gamma == 2.0f) {
        visit.template operator()<T, true>(p, grid);
      } else {
        visit.template operator()<T, false>(p, grid);
      }
    });
  }
}

}  // namespace colad
