// indicator_means and select_costs on the CPU.
#include "common/boxed.h"
#include "ops/colad_assign/colad_assign.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 15;  // a comparison and a copy each

Tensor indicator_means(const Tensor& values, const Tensor& gt_offsets) {
  const IndicatorCall call = indicator_contract(values, gt_offsets);
  const IndicatorParams& p = call.params;
  check_offsets_ascend(p.gt_offsets, p.images, p.objects, "gt_offsets");
  for (int64_t i = 0; i < p.networks * p.images; ++i) {
    write_indicator_mean(p, i);
  }
  return call.means;
}

Tensor select_costs(const Tensor& costs, const Tensor& matched, const Tensor& teacher,
                    std::vector<int64_t> level_sizes) {
  const SelectCall call = select_contract(costs, matched, teacher, level_sizes);
  const SelectParams& p = call.params;
  torch::stable::parallel_for(0, p.images * p.anchor_count, kAnchorsAThread, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      write_selected(p, i);
    }
  });
  return call.cost;
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("indicator_means", COLAD_BOX(&colad::indicator_means));
  m.impl("select_costs", COLAD_BOX(&colad::select_costs));
}
