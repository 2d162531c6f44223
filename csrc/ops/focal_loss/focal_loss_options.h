// The options of a focal loss as the caller gives them, and their checks. focal_loss and assign_cost use them.
// FocalOptions<T> holds the same options for the formula.
#pragma once

#include "common/boxed.h"
#include "common/check.h"

namespace colad {

struct FocalLossOptions {
  double alpha, gamma;
};

inline FocalLossOptions focal_loss_options(double alpha, double gamma) {
  check(alpha <= 1, "alpha should be <= 1 (negative: no weighting by class), got ", alpha);
  check(gamma >= 0, "gamma should be >= 0, got ", gamma);
  check_finite(gamma, "gamma");
  return {.alpha = alpha, .gamma = gamma};
}

template <>
inline constexpr auto kMakeOptions<FocalLossOptions> = &focal_loss_options;

}  // namespace colad
