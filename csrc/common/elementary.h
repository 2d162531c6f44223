// exp and log in plain arithmetic, without branches or calls: the compiler can vectorise a loop over them. On the host
// they round in the same way on every machine and for every vector width, except in loops that allow fused
// multiply-adds (vectorised_fused). On a device they are CUDA's own functions. Torch-free.
//
// The largest errors in float32 and float64 are below 2 units in the last place (ulp), also where the result is
// subnormal; python_tests/formulas/test_elementary.py measures them. NaN in, NaN out.
#pragma once

#include <bit>

#include "common/host_device.h"

namespace colad {

template <typename T>
COLAD_HD T horner(T, T c) {
  return c;
}

// c0 + x * (c1 + x * (c2 + ...))
template <typename T, typename... Rest>
COLAD_HD T horner(T x, T c0, Rest... rest) {
  return c0 + x * horner<T>(x, rest...);
}

namespace elementary {

// The constants of a floating-point format.
template <typename T>
struct Format;

template <>
struct Format<float> {
  using Bits = int32_t;
  static constexpr int kMantissa = 23, kBias = 127;
  static constexpr float kExpIsZero = -104.0f;                                // exp rounds to 0 below this
  static constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // High * an integer of 8 bits is exact
};

template <>
struct Format<double> {
  using Bits = int64_t;
  static constexpr int kMantissa = 52, kBias = 1023;
  static constexpr double kExpIsZero = -746.0;
  static constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;
};

// (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2, interpolated in the Chebyshev nodes. The relative error of exp is 2e-8
// in float and 2e-17 in double.
COLAD_HD float exp_remainder(float r) { return horner(r, 0.5f, 0.16666575f, 0.04166636f, 0.008363555f, 0.0013947871f); }

COLAD_HD double exp_remainder(double r) {
  return horner(r, 0.5000000000000001, 0.16666666666666688, 0.04166666666662201, 0.008333333333304813,
                0.0013888888918258434, 0.0001984126995050122, 2.4801519692582102e-05, 2.755715864922336e-06,
                2.762084177194579e-07, 2.5145612975965776e-08);
}

// (log((1 + w) / (1 - w)) / w - 2) / w^2 as a polynomial in y = w^2 <= 1/9. The relative error of log is 2e-8 in float
// and 5e-18 in double.
COLAD_HD float atanh_remainder(float y) { return horner(y, 0.6666664f, 0.40007564f, 0.28236547f, 0.26852027f); }

COLAD_HD double atanh_remainder(double y) {
  return horner(y, 0.6666666666666666, 0.40000000000014596, 0.2857142856710506, 0.22222222717801782,
                0.18181789417326444, 0.1538557059291232, 0.13314135550880082, 0.12001155182866678, 0.08800317650828664,
                0.16164938169547435);
}

// log(1 + f) for f in [-0.3, 1]. With w = f / (2 + f) it equals log((1 + w) / (1 - w)) = f - w * (f - ...): the largest
// term, f, is exact.
template <typename T>
COLAD_HD T log1p_of_small(T f) {
  const T w = f / (T(2) + f), y = w * w;
  return f - w * (f - y * atanh_remainder(y));
}

}  // namespace elementary

// log((1 + w) / (1 - w)) for |w| <= 1/3: the logarithm of a ratio a / b within [1/2, 2], where w = (a - b) / (a + b).
template <typename T>
COLAD_HD T log_ratio(T w) {
  const T y = w * w;
  return w * (T(2) + y * elementary::atanh_remainder(y));
}

// exp(x) for x <= 0.
template <typename T>
COLAD_HD T exp_nonpositive(T x) {
#if defined(__CUDA_ARCH__)
  return std::exp(x);
#else
  using F = elementary::Format<T>;
  using Bits = typename F::Bits;
  // The factor 2^kUp keeps the power of 2 normal where the result is subnormal. kBias + kUp is even, so that a tie
  // between two integers k rounds to the same one as without it.
  constexpr int kUp = 65;
  constexpr T kDown = T(1) / T(uint64_t(1) << 32) / T(uint64_t(1) << 33);
  // Adding kMagic rounds to the nearest integer. The last bits then hold the (biased) exponent of the power of 2.
  constexpr T kMagic = T(3) * T(Bits(1) << (F::kMantissa - 1)) + T(F::kBias + kUp);
  x = x < F::kExpIsZero ? F::kExpIsZero : x;
  const T shifted = x * T(1.4426950408889634074) + kMagic, k = shifted - kMagic;
  const T r = (x - k * F::kLn2High) - k * F::kLn2Low;
  const T power = std::bit_cast<T>(std::bit_cast<Bits>(shifted) << F::kMantissa);
  return (T(1) + (r + r * r * elementary::exp_remainder(r))) * power * kDown;
#endif
}

// exp(x) for |x| <= 87, where it is a normal number: fewer instructions than exp_nonpositive.
template <typename T>
COLAD_HD T exp_normal(T x) {
#if defined(__CUDA_ARCH__)
  return std::exp(x);
#else
  using F = elementary::Format<T>;
  using Bits = typename F::Bits;
  constexpr T kMagic = T(3) * T(Bits(1) << (F::kMantissa - 1)) + T(F::kBias);  // as in exp_nonpositive
  const T shifted = x * T(1.4426950408889634074) + kMagic, k = shifted - kMagic;
  const T r = (x - k * F::kLn2High) - k * F::kLn2Low;
  const T power = std::bit_cast<T>(std::bit_cast<Bits>(shifted) << F::kMantissa);
  return (T(1) + (r + r * r * elementary::exp_remainder(r))) * power;
#endif
}

// log(1 + x) for 0 <= x <= 1.
template <typename T>
COLAD_HD T log1p_unit(T x) {
#if defined(__CUDA_ARCH__)
  return std::log1p(x);
#else
  return elementary::log1p_of_small(x);
#endif
}

// log(x) for finite x > 0.
template <typename T>
COLAD_HD T log_positive(T x) {
#if defined(__CUDA_ARCH__)
  return std::log(x);
#else
  using F = elementary::Format<T>;
  using Bits = typename F::Bits;
  constexpr T kUp = T(Bits(1) << (F::kMantissa + 1));
  constexpr T kSmallestNormal = std::bit_cast<T>(Bits(1) << F::kMantissa);
  constexpr Bits kRootHalf = std::bit_cast<Bits>(T(0.70710678118654752440));
  const bool subnormal = x < kSmallestNormal;
  const Bits bits = std::bit_cast<Bits>(subnormal ? x * kUp : x);
  const Bits n = (bits - kRootHalf) >> F::kMantissa;  // x = 2^n m, m in [sqrt(1/2), sqrt(2))
  const T m = std::bit_cast<T>(bits - (n << F::kMantissa));
  const T k = T(n) - (subnormal ? T(F::kMantissa + 1) : T(0));
  return k * F::kLn2High + (elementary::log1p_of_small(m - T(1)) + k * F::kLn2Low);
#endif
}

}  // namespace colad
