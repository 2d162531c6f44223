// focal_kl_loss on CUDA.
#include "common/boxed.h"
#include "ops/focal_kl/focal_kl.h"
#include "ops/losses/loss_cuda.cuh"

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("focal_kl_loss", COLAD_BOX(&colad::focal_kl_loss_op<colad::CudaLoss>));
  m.impl("focal_kl_loss_and_gradient", COLAD_BOX(&colad::focal_kl_loss_and_gradient_op<colad::CudaLoss>));
  m.impl("focal_kl_loss_backward", COLAD_BOX(&colad::focal_kl_loss_backward_op<colad::CudaLoss>));
}
