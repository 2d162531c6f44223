// The base of the formula headers: functions for host and device, and scalar functions that keep NaN. Torch-free.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define COLAD_HD __host__ __device__ inline
#else
#define COLAD_HD inline
#endif

namespace colad {

// NaN in, NaN out, as in torch.maximum and torch.minimum. (std::max would drop a NaN in one of its arguments.)
template <typename T>
COLAD_HD T maximum(T a, T b) {
  return (a > b || a != a) ? a : b;
}

template <typename T>
COLAD_HD T minimum(T a, T b) {
  return (a < b || a != a) ? a : b;
}

template <typename T>
COLAD_HD T clamp_at_zero(T a) {
  return a < T(0) ? T(0) : a;
}

// a / b for values >= 0. Where 32 bits are enough, this avoids the slow division of 64 bits.
COLAD_HD int64_t quotient(int64_t a, int64_t b) {
  return ((a | b) >> 32) == 0 ? static_cast<uint32_t>(a) / static_cast<uint32_t>(b) : a / b;
}

// Whether x is neither NaN nor infinite: x - x is NaN for both.
template <typename T>
COLAD_HD bool is_finite(T x) {
  return x - x == T(0);
}

}  // namespace colad
