// focal_kl_loss on the CPU.
#include "common/boxed.h"
#include "ops/focal_kl/focal_kl.h"
#include "ops/losses/loss_cpu.h"

namespace colad {
namespace {

struct FocalKlBlocks {
  template <typename T, typename C>
  static void targets(const LossParams& p, const FocalKlAt<T>& at, int64_t first, LossBlock<C>& block,
                      LossBuffers<C>& buffers) {
    block.targets = read_block<T>(p, at.teacher, first, block.count, buffers.targets);
  }

  template <typename C>
  static void compute(const FocalKlFormula<C>& formula, const LossBlock<C>& block, C grad, C* losses, C* gradients) {
    const C smooth = formula.options.smooth;
    with_usual_gamma(formula.options.gamma, [&](auto gamma) {
      const auto run = [&](auto of_logits) {
        using OfLogits = decltype(of_logits);
        const auto for_each_field = [](auto& side, auto visit) {
          visit(0, side.exp_x), visit(1, side.odds);
          if constexpr (!OfLogits::value) {
            visit(2, side.z);
          }
        };
        compute_block_vectorised([=] { return FocalKlFormula<C>{{gamma(), smooth}, OfLogits::value}; }, for_each_field,
                                 block, grad, losses, gradients);
      };
      formula.teacher_is_logits ? run(std::true_type{}) : run(std::false_type{});
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  using Walk = colad::CpuLoss<colad::FocalKlBlocks>;
  m.impl("focal_kl_loss", COLAD_BOX(&colad::focal_kl_loss_op<Walk>));
  m.impl("focal_kl_loss_and_gradient", COLAD_BOX(&colad::focal_kl_loss_and_gradient_op<Walk>));
  m.impl("focal_kl_loss_backward", COLAD_BOX(&colad::focal_kl_loss_backward_op<Walk>));
}
