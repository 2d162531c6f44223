// focal_kl_loss on CUDA.
#include "common/boxed.h"
#include "common/usual_gamma.h"
#include "ops/focal_kl/focal_kl.h"
#include "ops/focal_kl/focal_kl_fast_math.h"
#include "ops/losses/loss_cuda.cuh"

namespace colad {

// The members that loss_elements.cuh needs.
template <typename T>
struct FocalKlOnCuda : FocalKlOperands<T> {
  using C = compute_t<T>;
  using Formula = std::conditional_t<std::is_same_v<T, double>, DoubleFocalKl, FastFocalKl<FastMath<T>>>;
  using Terms = FocalKlTerms<C>;
  using FocalKlOperands<T>::FocalKlOperands;

  template <typename Use>
  __device__ void with_terms(Use use) const {
    if (this->teacher_is_logits) {
      use([](C x, C teacher) { return Formula::terms(Formula::side_of_logit(x, teacher)); });
    } else {
      use([](C x, C teacher) { return Formula::terms(Formula::side_of_probability(x, teacher)); });
    }
  }
  template <typename Use>
  __device__ void with_gamma(Use use) const {
    with_usual_gamma(this->gamma, use);
  }
  __device__ LossPair<C> pair(const Terms& terms, C gamma) const {
    return Formula::of_terms(terms, gamma, this->smooth);
  }
};

struct FocalKlCuda : CudaLoss {
  template <typename T>
  using At = FocalKlOnCuda<T>;
};

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  using Walk = colad::FocalKlCuda;
  m.impl("focal_kl_loss", COLAD_BOX(&colad::focal_kl_loss_op<Walk>));
  m.impl("focal_kl_loss_and_gradient", COLAD_BOX(&colad::focal_kl_loss_and_gradient_op<Walk>));
  m.impl("focal_kl_loss_backward", COLAD_BOX(&colad::focal_kl_loss_backward_op<Walk>));
}
