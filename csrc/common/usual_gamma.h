// The exponent of a focal loss as a constant: a loop that asks for it at every logit, or calls pow, is not vectorised.
// Torch-free.
#pragma once

namespace colad {

// Calls visit(gamma) with a function that returns `gamma`: for the usual ones a constant.
template <typename T, typename Visit>
void with_usual_gamma(T gamma, Visit visit) {
  if (gamma == T(2)) return visit([] { return T(2); });
  if (gamma == T(1)) return visit([] { return T(1); });
  if (gamma == T(0)) return visit([] { return T(0); });
  visit([gamma] { return gamma; });
}

}  // namespace colad
