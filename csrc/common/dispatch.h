// The C++ type of a dtype that is known at run time, and the type in which each dtype is computed.
#pragma once

#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "common/host_device.h"

namespace colad {

// Calls visit<T>() with the C++ type of `type`. The caller has checked that it is one of the four accepted dtypes.
template <typename Visit>
void dispatch_floating(torch::headeronly::ScalarType type, Visit visit) {
  switch (type) {
    case torch::headeronly::ScalarType::Float:
      return visit.template operator()<float>();
    case torch::headeronly::ScalarType::Double:
      return visit.template operator()<double>();
    case torch::headeronly::ScalarType::Half:
      return visit.template operator()<torch::headeronly::Half>();
    default:
      return visit.template operator()<torch::headeronly::BFloat16>();
  }
}

// float32, float16 and bfloat16 are computed in float32, float64 in float64.
template <typename T>
struct Compute {
  using type = float;
};

template <>
struct Compute<double> {
  using type = double;
};

template <typename T>
using compute_t = typename Compute<T>::type;

// The same for a dtype that is known only at run time.
inline torch::headeronly::ScalarType compute_type(torch::headeronly::ScalarType type) {
  using torch::headeronly::ScalarType;
  return type == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

}  // namespace colad
