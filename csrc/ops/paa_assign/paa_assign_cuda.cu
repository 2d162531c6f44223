// The whole assignment on CUDA: one fill and four kernels, one after the other. The second pass of matching lists the
// matched anchors; so the costs and the split are work for the candidates only.
#include "ops/paa_assign/candidate_costs.cuh"
#include "ops/paa_assign/paa_assign.h"

namespace colad {
namespace {

template <typename T, bool kSquare>
__global__ void candidate_cost_kernel(const __grid_constant__ CostsOfNetworks p,
                                      const __grid_constant__ CandidateBuckets buckets) {
  __shared__ ListedCosts memory;
  wait_for_previous_kernel();
  write_candidate_costs<T, kSquare>(p, buckets, memory, [](const ListedAnchor*, int) {});
}

struct PaaAssignCuda {
  static constexpr int64_t kSamplesInPlace = SplitCandidatesCuda::kSamplesInPlace;

  static void run(const PaaAssignCall& call) {
    const MatchParams& m = call.match.params;
    if (m.objects == 0 && m.images * m.anchor_count == 0) {
      return;
    }
    const CudaScope scope(call.match.anchors);
    const BucketMemory memory = new_buckets(call.match.anchors, m.images, m.anchor_count, m.objects);
    const CandidateBuckets& buckets = memory.buckets;
    MatchAnchorsCuda::match(call.match, {buckets, call.cost.params.cost}, scope);
    for_each_cost_launch({call.cost.params}, buckets, [&]<typename T, bool kSquare>(const auto& p, unsigned grid) {
      launch_dependent(candidate_cost_kernel<T, kSquare>, grid, kCostBlock, 0, scope.stream(), p, buckets);
    });
    SplitCandidatesCuda::split(call.split.params, buckets, scope);
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("paa_assign", COLAD_BOX(&colad::paa_assign_op<colad::PaaAssignCuda>));
}
