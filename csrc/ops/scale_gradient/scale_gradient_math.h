// A gradient times the gradient of the result. Torch-free.
#pragma once

#include "common/host_device.h"

namespace colad {

// 0 if the factor is 0, also if the gradient is NaN or infinite.
template <typename T>
COLAD_HD T scaled_gradient(T gradient, T factor) {
  return factor == T(0) ? T(0) : gradient * factor;
}

}  // namespace colad
