// The whole assignment on the CPU: images in parallel. Matches, costs and positives of an image are written to the
// memory of the results. No other memory of the size of all anchors is needed.
#include "ops/assign_cost/assign_cost_cpu.h"
#include "ops/match_anchors/match_anchors_cpu.h"
#include "ops/paa_assign/paa_assign.h"
#include "ops/split_candidates/split_candidates_cpu.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 13;  // with their costs and the fits, over 100 us of work

struct PaaAssignCpu {
  static constexpr int64_t kSamplesInPlace = INT64_MAX;

  static void run(const PaaAssignCall& call) {
    const MatchParams& m = call.match.params;
    check_match_offsets(m);
    check_labels_exist(call.cost.params);
    dispatch_floating(call.match.dtype, [&]<typename T>() {
      const MatchAnchors<T> anchors(m);
      const int64_t images_a_thread = kAnchorsAThread / (m.anchor_count + 1) + 1;
      torch::stable::parallel_for(0, m.images, images_a_thread, [&](int64_t begin, int64_t end) {
        MatchScratch<T> match_scratch;
        SplitScratch split_scratch;
        for (int64_t image = begin; image < end; ++image) {
          match_image<T>(m, anchors, image, match_scratch, m.matched + image * m.anchor_count, nullptr);
          write_costs(call.cost.params, image, 0, m.anchor_count);
          split_image(call.split.params, image, split_scratch);
        }
      });
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("paa_assign", COLAD_BOX(&colad::paa_assign_op<colad::PaaAssignCpu>));
}
