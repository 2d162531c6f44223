// sigmoid_focal_loss on the CPU.
#include "common/boxed.h"
#include "ops/focal_loss/focal_loss.h"
#include "ops/losses/loss_cpu.h"

namespace colad {
namespace {

// The loss of one logit whose row is not ignored.
template <typename C>
struct FocalLossFormula {
  using Side = FocalLossSide<C>;
  FocalOptions<C> options;

  Side side(C x, bool hit) const { return side_of_class(x, hit); }
  C loss(const Side& side) const { return focal_loss(side, options); }
  C derivative(const Side& side) const { return focal_loss_derivative(side, options); }
};

struct FocalLossBlocks {
  // A target is 1 if the row's label is the column, else 0. An ignored row gets the weight 0.
  template <typename T, typename C>
  static void targets(const LossParams& p, const FocalLossOperands<T>& at, int64_t first, LossBlock<C>& block,
                      LossBuffers<C>& buffers) {
    std::fill_n(buffers.targets, block.count, C(0));
    block.targets = buffers.targets;
    const auto own_weights = [&] {
      if (block.weights != buffers.weights) {
        block.weights == nullptr ? std::fill_n(buffers.weights, block.count, C(1))
                                 : std::copy_n(block.weights, block.count, buffers.weights);
        block.weights = buffers.weights;
      }
      return buffers.weights;
    };
    for_runs(p, first, block.count, [&](const Element& e, int offset, int length) {
      if (!p.columns_outermost) {
        const int64_t label = at.label(e);
        if (label == kIgnored) {
          std::fill_n(own_weights() + offset, length, C(0));
        } else if (label >= e.column && label < e.column + length) {
          buffers.targets[offset + (label - e.column)] = C(1);
        }
        return;
      }
      const int64_t column = e.column, classes = at.classes;
      C* const targets = buffers.targets + offset;
      const int64_t ignored = for_labels(at, e, length, [=](int i, int64_t label) -> int64_t {
        targets[i] = label == column ? C(1) : C(0);
        return label_counts(label, classes) ? 0 : 1;
      });
      if (ignored != 0) {
        C* const weights = own_weights() + offset;
        for_labels(at, e, length, [=](int i, int64_t label) -> int64_t {
          weights[i] = label_counts(label, classes) ? weights[i] : C(0);
          return 0;
        });
      }
    });
  }

  // Calls visit(i, label) for the labels of `length` rows from that of `e` on. Returns the results joined by "or".
  template <typename T, typename Visit>
  static int64_t for_labels(const FocalLossOperands<T>& at, const Element& e, int length, Visit visit) {
    const auto* labels = static_cast<const int64_t*>(at.labels.data) + at.labels.at(e);
    const int64_t stride = at.labels.anchor;
    int64_t found = 0;
    vectorised([=, result = &found] {
      int64_t all = 0;
      if (stride == 1) {
#pragma GCC ivdep
        for (int i = 0; i < length; ++i) {
          all |= visit(i, labels[i]);
        }
      } else {
        for (int i = 0; i < length; ++i) {
          all |= visit(i, labels[i * stride]);
        }
      }
      *result = all;
    });
    return found;
  }

  static constexpr auto for_each_field = [](auto& side, auto visit) {
    visit(0, side.y.sigmoid), visit(1, side.y.complement), visit(2, side.y.softplus);
  };

  template <typename T, typename C>
  static void compute(const FocalLossOperands<T>& at, const LossBlock<C>& block, C grad, C* losses, C* gradients) {
    with_usual_gamma(at.options.gamma, [&](auto gamma) {
      const auto constant = [options = at.options, gamma] {
        FocalOptions<C> of_gamma = options;
        of_gamma.gamma = gamma();
        return FocalLossFormula<C>{of_gamma};
      };
      compute_block_vectorised(constant, for_each_field, block, grad, losses, gradients);
    });
  }
};

struct FocalLossCpu : CpuLoss<FocalLossBlocks> {
  template <typename T>
  using At = FocalLossOperands<T>;
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  using Walk = colad::FocalLossCpu;
  m.impl("sigmoid_focal_loss", COLAD_BOX(&colad::sigmoid_focal_loss_op<Walk>));
  m.impl("sigmoid_focal_loss_and_gradient", COLAD_BOX(&colad::sigmoid_focal_loss_and_gradient_op<Walk>));
  m.impl("sigmoid_focal_loss_backward", COLAD_BOX(&colad::sigmoid_focal_loss_backward_op<Walk>));
}
