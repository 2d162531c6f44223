// indicator_means and select_costs on the CPU.
#include "ops/colad_assign/colad_assign.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 15;  // one comparison and one copy an anchor

struct ColadAssignCpu {
  static void means(const IndicatorCall& call) {
    const IndicatorParams& p = call.params;
    check_offsets_ascend(p.gt_offsets, p.images, p.objects, "gt_offsets");
    for (int64_t i = 0; i < p.networks * p.images; ++i) {
      write_indicator_mean(p, i);
    }
  }

  static void select(const SelectCall& call) {
    const SelectParams& p = call.params;
    torch::stable::parallel_for(0, p.images * p.anchor_count, kAnchorsAThread, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        write_selected(p, i);
      }
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("indicator_means", COLAD_BOX(&colad::indicator_means_op<colad::ColadAssignCpu>));
  m.impl("select_costs", COLAD_BOX(&colad::select_costs_op<colad::ColadAssignCpu>));
}
