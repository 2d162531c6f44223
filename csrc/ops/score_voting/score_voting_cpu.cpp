// score_voting on the CPU.
#include "common/boxed.h"
#include "ops/score_voting/score_voting.h"

namespace colad {
namespace {

constexpr int64_t kVotesAThread = 1 << 14;

Tensor score_voting(const Tensor& boxes, const Tensor& labels, const Tensor& all_boxes, const Tensor& all_scores,
                    double sigma, double iou_threshold, double score_threshold) {
  const VotingCall call = voting_contract(boxes, labels, all_boxes, all_scores, sigma, iou_threshold, score_threshold);
  const VotingParams& p = call.params;
  for (int64_t k = 0; k < p.kept; ++k) {
    check(p.labels[k] >= 0 && p.labels[k] < p.classes, "labels should be in 0..", p.classes - 1, ", got ", p.labels[k],
          " at row ", k);
  }
  COLAD_DISPATCH_FLOATING(call.dtype, torch::stable::parallel_for(
                                          0, p.kept, kVotesAThread / (p.all + 1) + 1, [&](int64_t begin, int64_t end) {
                                            for (int64_t k = begin; k < end; ++k) {
                                              write_voted<scalar_t>(p, k, count_votes<scalar_t>(p, k, 0, 1));
                                            }
                                          }));
  return call.voted;
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) { m.impl("score_voting", COLAD_BOX(&colad::score_voting)); }
