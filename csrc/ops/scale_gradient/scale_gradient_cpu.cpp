// scale_gradient_ on the CPU.
#include <torch/csrc/stable/ops.h>

#include "common/boxed.h"
#include "common/cpu_capability.h"
#include "ops/scale_gradient/scale_gradient.h"

namespace colad {
namespace {

struct ScaleGradientCpu {
  static constexpr int64_t kElementsAThread = 1 << 15;  // about 10 us of work

  template <typename T>
  static void run(const ScaleGradientCall& call, const Tensor&) {
    using C = compute_t<T>;
    const C factor = *static_cast<const C*>(call.grad);
    if (factor == C(1)) {
      return;
    }
    torch::stable::parallel_for(0, call.count, kElementsAThread, [&](int64_t begin, int64_t end) {
      vectorised([=, gradient = static_cast<T*>(call.gradient)] {
        for (int64_t i = begin; i < end; ++i) {
          gradient[i] = static_cast<T>(scaled_gradient(static_cast<C>(gradient[i]), factor));
        }
      });
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("scale_gradient_", COLAD_BOX(&colad::scale_gradient_op<colad::ScaleGradientCpu>));
}
