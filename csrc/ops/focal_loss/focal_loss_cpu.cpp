// sigmoid_focal_loss on the CPU.
#include <limits>
#include <vector>

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

// The operands, and for class maps the labels in 32 bits. The labels are read again for every class: as int64 they
// would be twice as large as the logits.
template <typename T>
struct FocalLossCpuOperands : FocalLossOperands<T> {
  std::vector<int32_t> codes;  // (images, anchors); a label that does not exist is kIgnored

  explicit FocalLossCpuOperands(const FocalLossCall& call) : FocalLossOperands<T>(call) {
    const LossParams& p = call.loss.params;
    if (!p.columns_outermost) {
      return;
    }
    check(p.columns < std::numeric_limits<int32_t>::max(), "logits should have fewer than 2^31 classes, got ",
          p.columns);
    codes.resize(p.images * p.anchors);
    for (int64_t image = 0; image < p.images; ++image) {
      for (int64_t anchor = 0; anchor < p.anchors; ++anchor) {
        codes[image * p.anchors + anchor] = static_cast<int32_t>(this->label({image, anchor, 0}));
      }
    }
  }
};

struct FocalLossBlocks {
  // A target is 1 if the row's label is the column, else 0. An ignored row gets the weight 0.
  template <typename T, typename C>
  static void targets(const LossParams& p, const FocalLossCpuOperands<T>& at, int64_t first, LossBlock<C>& block,
                      LossBuffers<C>& buffers) {
    block.targets = buffers.targets;
    p.columns_outermost ? targets_of_maps(p, at, first, block, buffers) : targets_of_rows(p, at, first, block, buffers);
  }

  template <typename T, typename C>
  static void targets_of_rows(const LossParams& p, const FocalLossCpuOperands<T>& at, int64_t first,
                              LossBlock<C>& block, LossBuffers<C>& buffers) {
    std::fill_n(buffers.targets, block.count, C(0));
    for_runs(p, first, block.count, [&](const Element& e, int offset, int length) {
      const int64_t label = at.label(e);
      if (label == kIgnored) {
        std::fill_n(own_weights(block, buffers) + offset, length, C(0));
      } else if (label >= e.column && label < e.column + length) {
        buffers.targets[offset + (label - e.column)] = C(1);
      }
    });
  }

  template <typename T, typename C>
  static void targets_of_maps(const LossParams& p, const FocalLossCpuOperands<T>& at, int64_t first,
                              LossBlock<C>& block, LossBuffers<C>& buffers) {
    for_runs(p, first, block.count, [&](const Element& e, int offset, int length) {
      const int32_t* const codes = at.codes.data() + e.image * p.anchors + e.anchor;
      int32_t ignored = 0;
      vectorised([=, column = static_cast<int32_t>(e.column), targets = buffers.targets + offset, result = &ignored] {
        int32_t any = 0;
#pragma GCC ivdep
        for (int i = 0; i < length; ++i) {
          targets[i] = codes[i] == column ? C(1) : C(0);
          any |= codes[i] == kIgnored ? 1 : 0;
        }
        *result = any;
      });
      if (ignored != 0) {
        vectorised([=, weights = own_weights(block, buffers) + offset] {
#pragma GCC ivdep
          for (int i = 0; i < length; ++i) {
            weights[i] = codes[i] == kIgnored ? C(0) : weights[i];
          }
        });
      }
    });
  }

  // The weights of the block in a buffer, where they may be changed.
  template <typename C>
  static C* own_weights(LossBlock<C>& block, LossBuffers<C>& buffers) {
    if (block.weights != buffers.weights) {
      block.weights == nullptr ? std::fill_n(buffers.weights, block.count, C(1))
                               : std::copy_n(block.weights, block.count, buffers.weights);
      block.weights = buffers.weights;
    }
    return buffers.weights;
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
  using At = FocalLossCpuOperands<T>;
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  using Walk = colad::FocalLossCpu;
  m.impl("sigmoid_focal_loss", COLAD_BOX(&colad::sigmoid_focal_loss_op<Walk>));
  m.impl("sigmoid_focal_loss_and_gradient", COLAD_BOX(&colad::sigmoid_focal_loss_and_gradient_op<Walk>));
  m.impl("sigmoid_focal_loss_backward", COLAD_BOX(&colad::sigmoid_focal_loss_backward_op<Walk>));
}
