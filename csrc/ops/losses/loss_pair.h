// Loss and derivative of one logit. Torch-free.
#pragma once

namespace colad {

template <typename T>
struct LossPair {
  T loss, derivative;
};

}  // namespace colad
