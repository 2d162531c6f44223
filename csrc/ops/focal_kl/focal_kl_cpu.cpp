// focal_kl_loss on the CPU.
#include "common/boxed.h"
#include "ops/focal_kl/focal_kl.h"
#include "ops/losses/loss_cpu.h"

namespace colad {
namespace {

// The loss of one student logit and its teacher.
template <typename C>
struct FocalKlFormula {
  using Side = FocalKlSide<C>;
  FocalKlOptions<C> options;
  bool teacher_is_logits;

  Side side(C x, C target) const {
    return teacher_is_logits ? side_of_logit(x, target) : side_of_probability(x, target);
  }
  C loss(const Side& side) const { return focal_kl_loss(side, options); }
  C derivative(const Side& side) const { return focal_kl_derivative(side, options); }
};

struct FocalKlBlocks {
  template <typename T, typename C>
  static void targets(const LossParams& p, const FocalKlOperands<T>& at, int64_t first, LossBlock<C>& block,
                      LossBuffers<C>& buffers) {
    block.targets = read_block<T>(p, at.teacher, first, block.count, buffers.targets);
  }

  template <typename T, typename C>
  static void compute(const FocalKlOperands<T>& at, const LossBlock<C>& block, C grad, C* losses, C* gradients) {
    const C smooth = at.smooth;
    with_usual_gamma(at.gamma, [&](auto gamma) {
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
      at.teacher_is_logits ? run(std::true_type{}) : run(std::false_type{});
    });
  }
};

struct FocalKlCpu : CpuLoss<FocalKlBlocks> {
  template <typename T>
  using At = FocalKlOperands<T>;
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  using Walk = colad::FocalKlCpu;
  m.impl("focal_kl_loss", COLAD_BOX(&colad::focal_kl_loss_op<Walk>));
  m.impl("focal_kl_loss_and_gradient", COLAD_BOX(&colad::focal_kl_loss_and_gradient_op<Walk>));
  m.impl("focal_kl_loss_backward", COLAD_BOX(&colad::focal_kl_loss_backward_op<Walk>));
}
