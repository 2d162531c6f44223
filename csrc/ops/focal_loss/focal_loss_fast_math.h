// The formulas of focal_loss_math.h in few instructions of a GPU. Torch-free. Math is SingleMath or HalfMath.
//
// With SingleMath the results obey the same bounds as those of focal_loss_math.h. With HalfMath their relative error is
// below 2^-15 for gamma <= 2. python_tests/formulas/test_fast_losses.py measures both.
#pragma once

#include "common/fast_elementary.h"
#include "ops/focal_loss/focal_loss_math.h"
#include "ops/losses/loss_pair.h"

namespace colad {

template <typename Math>
struct FastFocalLoss {
  COLAD_HD static FocalLossSide<float> side_of_class(float logit, bool target) {
    const float y = target ? -logit : logit, e = Math::exp_nonpositive(-std::fabs(logit));
    const float larger_one = Math::reciprocal(1.0f + e), smaller_one = e * larger_one;
    const bool positive = y > 0.0f;
    // log(1 + e) is the log of the ratio (1 + w) / (1 - w), w = e / (2 + e).
    const float softplus = Math::log_ratio_plus(e * Math::reciprocal(2.0f + e), positive ? y : 0.0f);
    return {{positive ? larger_one : smaller_one, positive ? smaller_one : larger_one, softplus},
            target ? -1.0f : 1.0f};
  }

  // options.gamma should be a constant where it can.
  COLAD_HD static LossPair<float> of_side(const FocalLossSide<float>& side, const FocalOptions<float>& options) {
    const Logistic<float>& y = side.y;
    const float gamma = options.gamma, alpha = focal_alpha(side.sign < 0.0f, options);
    float weight;
    if (gamma == 0.0f) {
      weight = alpha;
    } else if (gamma == 1.0f) {
      weight = alpha * y.sigmoid;
    } else if (gamma == 2.0f) {
      weight = alpha * (y.sigmoid * y.sigmoid);
    } else {
      weight = alpha * (y.sigmoid < 0x1p-126f ? 0.0f : Math::power(y.sigmoid, gamma));
    }
    return {weight * y.softplus, side.sign * weight * std::fma(gamma * y.complement, y.softplus, y.sigmoid)};
  }
};

// The same interface for double, with the formulas of focal_loss_math.h.
struct DoubleFocalLoss {
  COLAD_HD static FocalLossSide<double> side_of_class(double logit, bool target) {
    return colad::side_of_class(logit, target);
  }
  COLAD_HD static LossPair<double> of_side(const FocalLossSide<double>& side, const FocalOptions<double>& options) {
    return {focal_loss(side, options), focal_loss_derivative(side, options)};
  }
};

}  // namespace colad
