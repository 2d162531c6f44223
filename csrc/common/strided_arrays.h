// Copies between tensors with any strides and arrays of the compute type. They are called in vectorised loops of the
// CPU, for the capability of the loop.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/half_arrays.h"

namespace colad {

// to[i] = from[i * stride]
template <CpuCapability cpu, typename T, typename C>
void gather(const T* from, int64_t stride, int64_t count, C* to) {
  if (stride == 0) {
    std::fill_n(to, count, static_cast<C>(*from));
  } else if (stride == 1) {
    if constexpr (kConvertsHalves<cpu, T, C>) {
      convert_halves(from, count, to);
    } else {
#pragma GCC ivdep
      for (int64_t i = 0; i < count; ++i) {
        to[i] = static_cast<C>(from[i]);
      }
    }
  } else {
    for (int64_t i = 0; i < count; ++i) {
      convert<cpu>(from[i * stride], to[i]);
    }
  }
}

// to[i * stride] = from[i]
template <CpuCapability cpu, typename T, typename C>
void scatter(const C* from, int64_t count, T* to, int64_t stride) {
  if (stride == 1) {
    if constexpr (kConvertsHalves<cpu, C, T>) {
      convert_halves(from, count, to);
    } else {
#pragma GCC ivdep
      for (int64_t i = 0; i < count; ++i) {
        to[i] = static_cast<T>(from[i]);
      }
    }
  } else {
    for (int64_t i = 0; i < count; ++i) {
      convert<cpu>(from[i], to[i * stride]);
    }
  }
}

}  // namespace colad
