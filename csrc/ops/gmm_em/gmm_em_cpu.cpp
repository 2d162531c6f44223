// gmm_em on the CPU: segments in parallel.
#include "ops/gmm_em/gmm_em_cpu.h"

#include "common/cpu_capability.h"
#include "ops/gmm_em/gmm_em.h"

namespace colad {
namespace {

constexpr int64_t kSegmentsAThread = 64;  // a fit of 20 values takes about 1.5 us

void check_data(const GmmEmParams& p) {
  for (int64_t g = 0; g < p.segments; ++g) {
    check(0 <= p.starts[g] && p.starts[g] <= p.ends[g] && p.ends[g] <= p.count,
          "offsets should ascend from 0 to the number of values ", p.count, ", got ", p.starts[g], " then ", p.ends[g],
          " at row ", g);
    check(g == 0 || p.ends[g - 1] <= p.starts[g], "segments should follow one another, got one that ends at ",
          g == 0 ? 0 : p.ends[g - 1], " and then one that starts at ", p.starts[g], " at row ", g);
  }
}

template <typename T>
void fit_segment(const GmmEmParams& p, int64_t g, FitBuffer& buffer) {
  const int64_t start = p.starts[g], count = p.ends[g] - start;
  const T* values = static_cast<const T*>(p.values) + start;
  buffer.resize(count);
  double* value = buffer.value();
  for (int64_t i = 0; i < count; ++i) {
    value[i] = static_cast<double>(values[i]);
  }
  const EmResult fit = fit_and_score(buffer, p.options);
  write_fit(p, g, fit);
  for (int64_t i = 0; i < count; ++i) {
    p.responsibility[start + i] = buffer.responsibility(0)[i];
    p.log_likelihood[start + i] = buffer.log_likelihood()[i];
    p.labels[start + i] = static_cast<int64_t>(buffer.label()[i]);
  }
}

struct GmmEmCpu {
  static void run(const GmmEmCall& call) {
    const GmmEmParams& p = call.params;
    check_data(p);
    for (int64_t i = 0; i < p.count; ++i) {
      write_padding(p, i);
    }
    dispatch_floating(call.dtype, [&]<typename T>() {
      torch::stable::parallel_for(0, p.segments, kSegmentsAThread, [&](int64_t begin, int64_t end) {
        FitBuffer buffer;
        for (int64_t g = begin; g < end; ++g) {
          fit_segment<T>(p, g, buffer);
        }
      });
    });
  }
};

}  // namespace

EmResult fit_and_score(FitBuffer& buffer, const MixtureOptions& options) {
  EmResult fit;
  vectorised_fused([&] {
    fit = fit_mixture(buffer, options);
    score_fit(buffer, fit.mixture);
  });
  return fit;
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) { m.impl("gmm_em", COLAD_BOX(&colad::gmm_em_op<colad::GmmEmCpu>)); }
