// score_voting on CUDA: one warp per kept box. The lanes of the warp share the voters.
#include "common/reduce.cuh"
#include "ops/score_voting/score_voting.h"

namespace colad {
namespace {

// An image has at most some hundred kept boxes: small blocks spread them over the multiprocessors. Not tuned on a card.
constexpr int kBlock = 128;

template <typename T>
__global__ void score_voting_kernel(VotingParams p) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t k = thread_index() / kWarp; k < p.kept; k += thread_count() / kWarp) {
    auto sums = count_votes<T>(p, k, lane, kWarp);
    sums.weight = warp_reduce(sums.weight, Add{});
    sums.x1 = warp_reduce(sums.x1, Add{});
    sums.y1 = warp_reduce(sums.y1, Add{});
    sums.x2 = warp_reduce(sums.x2, Add{});
    sums.y2 = warp_reduce(sums.y2, Add{});
    if (lane == 0) {
      write_voted<T>(p, k, sums);
    }
  }
}

struct ScoreVotingCuda {
  static void run(const VotingCall& call) {
    if (call.params.kept > 0) {
      const CudaScope scope(call.boxes);
      dispatch_floating(call.dtype, [&]<typename T>() {
        launch(score_voting_kernel<T>, grid_for(call.params.kept * kWarp, kBlock), kBlock, 0, scope.stream(),
               call.params);
      });
    }
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("score_voting", COLAD_BOX(&colad::score_voting_op<colad::ScoreVotingCuda>));
}
