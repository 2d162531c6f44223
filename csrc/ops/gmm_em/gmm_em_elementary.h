// Reciprocal, inverse square root, powers of 2 and logarithms for the fit of a warp (gmm_em_fast_math.h).
//
// A warp that fits a mixture waits for the result of each operation. So these functions have no branch and no call, and
// polynomials are added up in pairs (Estrin's scheme), which takes fewer operations one after the other than Horner's
// scheme. Arguments are positive normal numbers, and what a function does with any other argument is stated. Errors are
// below 2 units in the last place; python_tests/formulas/test_gmm_em_fast.py measures them. Torch-free.
#pragma once

#include <bit>
#include <limits>

#include "common/host_device.h"

namespace colad {

namespace seed {

// The upper half of a number: its exponent and the first 20 bits of its mantissa.
COLAD_HD double upper_half(double x) { return std::bit_cast<double>(std::bit_cast<uint64_t>(x) >> 32 << 32); }

// First approximations of 1 / a and 1 / sqrt(a). A device computes the upper half of the result from the upper half of
// the argument. The host does the same and cuts off what a device rounds, so that its errors are not smaller. A
// subnormal argument counts as 0, and the result is infinity.
COLAD_HD double reciprocal(double a) {
#if defined(__CUDA_ARCH__)
  double y;
  asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(y) : "d"(a));
  return y;
#else
  return a < std::numeric_limits<double>::min() ? std::numeric_limits<double>::infinity()
                                                : upper_half(1.0 / upper_half(a));
#endif
}

COLAD_HD double inverse_root(double a) {
#if defined(__CUDA_ARCH__)
  double y;
  asm("rsqrt.approx.ftz.f64 %0, %1;" : "=d"(y) : "d"(a));
  return y;
#else
  return a < std::numeric_limits<double>::min() ? std::numeric_limits<double>::infinity()
                                                : upper_half(1.0 / std::sqrt(upper_half(a)));
#endif
}

}  // namespace seed

// 1 / a. The step has cubic convergence: an error of 2^-19 becomes 2^-57. The result is NaN for 0, subnormal numbers,
// infinity and NaN.
COLAD_HD double fast_reciprocal(double a) {
  const double y = seed::reciprocal(a), e = std::fma(-a, y, 1.0);
  return std::fma(y, std::fma(e, e, e), y);
}

// 1 / sqrt(a), in the same way. The result is NaN for 0, infinity and NaN, and infinity for subnormal numbers.
COLAD_HD double fast_inverse_root(double a) {
  const double y = seed::inverse_root(a), e = std::fma(-a * y, y, 1.0);
  return std::fma(y * e, std::fma(e, 0.375, 0.5), y);
}

// a / b with one rounding in almost all cases; exactly 1 for a = b. `reciprocal` is fast_reciprocal(b).
COLAD_HD double fast_quotient(double a, double b, double reciprocal) {
  const double q = a * reciprocal;
  return std::fma(std::fma(-q, b, a), reciprocal, q);
}

COLAD_HD double fast_quotient(double a, double b) { return fast_quotient(a, b, fast_reciprocal(b)); }

// 2^t for t <= 0, multiplied by kUp so that a subnormal power is normal. It is 0 below -1100, and for NaN.
struct PowerOf2 {
  static constexpr int kShift = 80;
  static constexpr double kDown = 1.0 / double(uint64_t(1) << (kShift / 2)) / double(uint64_t(1) << (kShift / 2));
  static constexpr double kIsZero = -1100.0;
};

COLAD_HD double fast_exp2_up(double t) {
  // Adding kMagic rounds to the nearest integer, whose last bits are then the last bits of the sum.
  constexpr double kMagic = 6755399441055744.0 + PowerOf2::kShift;  // 3 * 2^51
  const double shifted = t + kMagic, f = t - (shifted - kMagic);
  // 2^f for |f| <= 1/2, with f = 0 exact; interpolated in the Chebyshev nodes, relative error 2e-17.
  const double f2 = f * f, f4 = f2 * f2, f8 = f4 * f4;
  const double p0 = std::fma(0.6931471805599453, f, 1.0);
  const double p1 = std::fma(0.0555041086648216, f, 0.24022650695910097);
  const double p2 = std::fma(0.0013333558146416936, f, 0.009618129107606888);
  const double p3 = std::fma(1.525273382983612e-05, f, 0.0001540353044173605);
  const double p4 = std::fma(1.0178062445845774e-07, f, 1.321544258792169e-06);
  const double p5 = std::fma(4.4549605981865186e-10, f, 7.072585949269223e-09);
  const double low = std::fma(std::fma(p3, f2, p2), f4, std::fma(p1, f2, p0));
  const double power = std::fma(std::fma(p5, f2, p4), f8, low);
  const double scaled = std::bit_cast<double>(std::bit_cast<int64_t>(power) + (std::bit_cast<int64_t>(shifted) << 52));
  return t >= PowerOf2::kIsZero ? scaled : 0.0;
}

// A product of normal positive numbers whose logarithm is wanted. It cannot overflow.
struct LogOfProduct {
  double mantissa;  // in [sqrt(1/2), sqrt(2))
  int64_t exponent;

  COLAD_HD static LogOfProduct one() { return {1.0, 0}; }

  COLAD_HD void multiply(double x) {
    constexpr int64_t kRootHalf = int64_t(0x3fe6a09e) << 32;
    const int64_t bits = std::bit_cast<int64_t>(mantissa * x), n = (bits - kRootHalf) >> 52;
    mantissa = std::bit_cast<double>(bits - (n << 52));
    exponent += n;
  }

  // The absolute error is below one unit in the last place of 1.
  COLAD_HD double log2() const {
    // log2((1 + w) / (1 - w)) / w in y = w^2, interpolated in the Chebyshev nodes: absolute error of the logarithm
    // 7e-18.
    const double w = (mantissa - 1.0) * fast_reciprocal(mantissa + 1.0);
    const double y = w * w, y2 = y * y, y4 = y2 * y2;
    const double p0 = std::fma(0.9617966939259898, y, 2.8853900817779268);
    const double p1 = std::fma(0.4121985858409005, y, 0.5770780163455203);
    const double p2 = std::fma(0.262334352504183, y, 0.32059853491395984);
    const double p3 = std::fma(0.2136589569431927, y, 0.2209130842311768);
    const double p = std::fma(std::fma(p3, y2, p2), y4, std::fma(p1, y2, p0));
    return std::fma(w, p, double(exponent));
  }
};

}  // namespace colad
