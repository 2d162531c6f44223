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

// Element `i`, as float32, of an array whose dtype is known only at run time.
COLAD_HD float load_float(const void* data, int64_t i, torch::headeronly::ScalarType type) {
  switch (type) {
    case torch::headeronly::ScalarType::Float:
      return static_cast<const float*>(data)[i];
    case torch::headeronly::ScalarType::Double:
      return static_cast<float>(static_cast<const double*>(data)[i]);
    case torch::headeronly::ScalarType::Half:
      return static_cast<float>(static_cast<const torch::headeronly::Half*>(data)[i]);
    default:
      return static_cast<float>(static_cast<const torch::headeronly::BFloat16*>(data)[i]);
  }
}

}  // namespace colad
