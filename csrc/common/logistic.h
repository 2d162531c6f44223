// The logistic function and its relatives. Torch-free.
#pragma once

#include "common/elementary.h"

namespace colad {

// sigmoid(x), sigmoid(-x) and softplus(x) = log(1 + exp(x)), from one exponential. They do not overflow, and they are
// accurate to the last digits also where they are tiny.
template <typename T>
struct Logistic {
  T sigmoid, complement, softplus;
};

template <typename T>
COLAD_HD Logistic<T> logistic(T x) {
  const T e = exp_nonpositive(-std::fabs(x)), sum = T(1) + e;
  return {(x >= T(0) ? T(1) : e) / sum, (x >= T(0) ? e : T(1)) / sum, (x > T(0) ? x : T(0)) + log1p_unit(e)};
}

}  // namespace colad
