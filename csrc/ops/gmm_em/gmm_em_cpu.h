// gmm_em on the CPU, for operators that fit one object after the other.
#pragma once

#include "ops/gmm_em/gmm_em_lanes.h"

namespace colad {

// fit_mixture, then score_fit, with the vectors of this CPU. The function is compiled only once, so all operators get
// the same bits.
EmResult fit_and_score(FitBuffer& buffer, const MixtureOptions& options);

}  // namespace colad
