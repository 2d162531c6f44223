// match_anchors on the CPU. This file only walks the images, in parallel. The implementation (match_image) is in
// match_anchors_cpu.h, because paa_assign calls it too.
#include "ops/match_anchors/match_anchors_cpu.h"

#include "common/boxed.h"

namespace colad {
namespace {

// A thread gets at least this many IoUs (about 100 us of work). Fewer are not worth a second thread.
constexpr int64_t kPairsAThread = 1 << 18;

struct MatchAnchorsCpu {
  static void run(const MatchCall& call) {
    const MatchParams& p = call.params;
    check_match_offsets(p);
    const int64_t pairs_an_image = p.images > 0 ? p.anchor_count * p.objects / p.images + 1 : 1;
    dispatch_floating(call.dtype, [&]<typename T>() {
      const MatchAnchors<T> anchors(p);
      torch::stable::parallel_for(0, p.images, kPairsAThread / pairs_an_image + 1, [&](int64_t begin, int64_t end) {
        MatchScratch<T> scratch;
        for (int64_t image = begin; image < end; ++image) {
          const int64_t first = image * p.anchor_count;
          match_image(p, anchors, image, scratch, p.matched + first, static_cast<T*>(p.iou) + first);
        }
      });
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("match_anchors", COLAD_BOX(&colad::match_anchors_op<colad::MatchAnchorsCpu>));
}
