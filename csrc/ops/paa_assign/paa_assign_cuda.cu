// The whole assignment on CUDA: one fill and four kernels, one after the other.
#include "ops/paa_assign/paa_assign.h"

namespace colad {
namespace {

struct PaaAssignCuda {
  static constexpr bool kWritesIou = false;
  static constexpr bool kSplitsOverMatches = false;  // a block would overwrite matches that other blocks still read
  static constexpr int64_t kSamplesInPlace = SplitCandidatesCuda::kSamplesInPlace;

  static void run(const PaaAssignCall& call) {
    MatchAnchorsCuda::run(call.match);
    AssignCostCuda::run(call.cost);
    SplitCandidatesCuda::run(call.split);
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("paa_assign", COLAD_BOX(&colad::paa_assign_op<colad::PaaAssignCuda>));
}
