// Functions that a GPU approximates in one instruction, with the error bounds of the PTX ISA. Torch-free.
//
// Arguments and results below the smallest normal float32 count as 0. On the host, each function rounds the exact
// result once. A formula takes these functions as a template parameter: the tests replace them by functions with errors
// up to the bounds, of every sign.
#pragma once

#include <bit>

#include "common/host_device.h"

namespace colad {

struct Approximate {
  // Relative errors. That of log2 is absolute within [1/2, 2].
  static constexpr double kExp2Error = 0x1p-22, kLog2Error = 0x1p-22, kReciprocalError = 0x1p-23, kRootError = 0x1p-23;

#if defined(__CUDA_ARCH__)
  __device__ static float exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
  }
  __device__ static float log2(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
  }
  __device__ static float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
  }
  __device__ static float root(float x) {
    float y;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
  }
#else
  static float without_subnormals(double x) {
    const float y = static_cast<float>(x);
    return std::fabs(y) < 0x1p-126f ? y * 0.0f : y;
  }
  static float exp2(float x) { return without_subnormals(std::exp2(double(x))); }
  static float log2(float x) { return without_subnormals(std::log2(double(without_subnormals(x)))); }
  static float reciprocal(float x) { return without_subnormals(1.0 / without_subnormals(x)); }
  static float root(float x) { return without_subnormals(std::sqrt(double(without_subnormals(x)))); }
#endif
};

// maximum(a, b) of host_device.h in one instruction.
COLAD_HD float larger(float a, float b) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
#else
  return maximum(a, b);
#endif
}

// `x` with the other sign, if `sign` has no sign bit.
COLAD_HD float negated_if_positive(float x, float sign) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(x) ^ (~std::bit_cast<uint32_t>(sign) & 0x80000000u));
}

}  // namespace colad
