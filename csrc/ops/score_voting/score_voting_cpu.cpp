// score_voting on the CPU: kept boxes in parallel. The loop over the voters (count_votes) is in score_voting.h, because
// CUDA calls it too.
#include "ops/score_voting/score_voting.h"

namespace colad {
namespace {

constexpr int64_t kVotesAThread = 1 << 14;

struct ScoreVotingCpu {
  static void run(const VotingCall& call) {
    const VotingParams& p = call.params;
    for (int64_t k = 0; k < p.kept; ++k) {
      check(p.labels[k] >= 0 && p.labels[k] < p.classes, "labels should be in 0..", p.classes - 1, ", got ",
            p.labels[k], " at row ", k);
    }
    dispatch_floating(call.dtype, [&]<typename T>() {
      torch::stable::parallel_for(0, p.kept, kVotesAThread / (p.all + 1) + 1, [&](int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; ++k) {
          write_voted<T>(p, k, count_votes<T>(p, k, 0, 1));
        }
      });
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("score_voting", COLAD_BOX(&colad::score_voting_op<colad::ScoreVotingCpu>));
}
