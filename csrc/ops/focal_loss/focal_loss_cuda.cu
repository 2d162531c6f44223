// sigmoid_focal_loss on CUDA.
#include "common/boxed.h"
#include "common/usual_gamma.h"
#include "ops/focal_loss/focal_loss.h"
#include "ops/focal_loss/focal_loss_fast_math.h"
#include "ops/losses/loss_cuda.cuh"

namespace colad {

// The members that loss_elements.cuh needs.
template <typename T>
struct FocalLossOnCuda : FocalLossOperands<T> {
  using C = compute_t<T>;
  using Formula = std::conditional_t<std::is_same_v<T, double>, DoubleFocalLoss, FastFocalLoss<FastMath<T>>>;
  using Terms = FocalLossSide<C>;
  using FocalLossOperands<T>::FocalLossOperands;

  template <typename Use>
  __device__ void with_terms(Use use) const {
    use([](C x, bool hit) { return Formula::side_of_class(x, hit); });
  }
  template <typename Use>
  __device__ void with_gamma(Use use) const {
    with_usual_gamma(this->options.gamma, use);
  }
  __device__ LossPair<C> pair(const Terms& side, C gamma) const {
    FocalOptions<C> options = this->options;
    options.gamma = gamma;
    return Formula::of_side(side, options);
  }
};

struct FocalLossCuda : CudaLoss {
  template <typename T>
  using At = FocalLossOnCuda<T>;
};

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  using Walk = colad::FocalLossCuda;
  m.impl("sigmoid_focal_loss", COLAD_BOX(&colad::sigmoid_focal_loss_op<Walk>));
  m.impl("sigmoid_focal_loss_and_gradient", COLAD_BOX(&colad::sigmoid_focal_loss_and_gradient_op<Walk>));
  m.impl("sigmoid_focal_loss_backward", COLAD_BOX(&colad::sigmoid_focal_loss_backward_op<Walk>));
}
