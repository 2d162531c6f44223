// sigmoid_focal_loss on CUDA.
#include "common/boxed.h"
#include "ops/focal_loss/focal_loss.h"
#include "ops/losses/loss_cuda.cuh"

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("sigmoid_focal_loss", COLAD_BOX(&colad::sigmoid_focal_loss_op<colad::CudaLoss>));
  m.impl("sigmoid_focal_loss_and_gradient", COLAD_BOX(&colad::sigmoid_focal_loss_and_gradient_op<colad::CudaLoss>));
  m.impl("sigmoid_focal_loss_backward", COLAD_BOX(&colad::sigmoid_focal_loss_backward_op<colad::CudaLoss>));
}
