// The exponent of a focal loss as a compile-time constant. The compiler does not vectorise a loop that tests the
// exponent at every logit or calls pow. Torch-free.
#pragma once

#include "common/host_device.h"

namespace colad {

// Calls visit(function), where function() returns `gamma`. For the usual exponents it returns a constant.
template <typename T, typename Visit>
COLAD_HD void with_usual_gamma(T gamma, Visit visit) {
  if (gamma == T(2)) return visit([] { return T(2); });
  if (gamma == T(1)) return visit([] { return T(1); });
  if (gamma == T(0)) return visit([] { return T(0); });
  visit([gamma] { return gamma; });
}

}  // namespace colad
