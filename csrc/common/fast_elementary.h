// exp, log and 1 / x in few instructions of a GPU, for the formulas of the losses' kernels. Torch-free.
//
// SingleMath is for float32: its relative errors are below 3 * 2^-23. HalfMath is for the 16-bit types, which are
// computed in float32 and rounded to 8 or 11 bits: a multiple of 2^-22 that grows with the exponents, and 2^-16 for
// log_ratio_plus. python_tests/formulas/test_fast_elementary.py states and measures each bound, with every error that a
// GPU may have. NaN in, NaN out.
#pragma once

#include "common/approximate.h"
#include "common/elementary.h"

namespace colad {

template <typename T>
COLAD_HD T fused_horner(T, T c) {
  return c;
}

// c0 + x * (c1 + x * (c2 + ...)) with one rounding for each step.
template <typename T, typename... Rest>
COLAD_HD T fused_horner(T x, T c0, Rest... rest) {
  return std::fma(x, fused_horner<T>(x, rest...), c0);
}

constexpr float kLn2 = 0.69314718055994531f, kLog2E = 1.4426950408889634f;

template <typename Functions = Approximate>
struct SingleMath {
  static constexpr bool kForHalfTypes = false;

  // exp(x) for x <= 0. It is 0 where the result is not a normal float32.
  COLAD_HD static float exp_nonpositive(float x) {
    // Adding kMagic rounds to the nearest integer. The last bits then hold the biased exponent of the power of 2, which
    // is 0 at -88: such a power is 0.
    constexpr float kMagic = 12582912.0f + 127.0f;
    const float n = larger(x, -88.0f), shifted = std::fma(n, kLog2E, kMagic);
    const float r = std::fma(shifted - kMagic, -kLn2, n);
    const float power = std::bit_cast<float>(std::bit_cast<uint32_t>(shifted) << 23);
    const float rest = fused_horner(r, 0.5f, 0.16666575f, 0.04166636f, 0.008363555f, 0.0013947871f);
    return std::fma(std::fma(r * r, rest, r), power, power);
  }

  // 1 / x for x of a normal size whose reciprocal is so too.
  COLAD_HD static float reciprocal(float x) {
    const float y = Functions::reciprocal(x);
    return std::fma(std::fma(-x, y, 1.0f), y, y);
  }

  // log((1 + w) / (1 - w)) for |w| <= 1/3, plus `added`.
  COLAD_HD static float log_ratio_plus(float w, float added) {
    return std::fma(w, fused_horner(w * w, 2.0f, 0.66666416f, 0.40021527f, 0.28001804f, 0.28011992f), added);
  }

  // log(x) for x > 0.
  COLAD_HD static float log_positive(float x) { return colad::log_positive(x); }

  // x^y for x > 0.
  COLAD_HD static float power(float x, float y) { return std::pow(x, y); }

  COLAD_HD static float root(float x) { return Functions::root(x); }
};

template <typename Functions = Approximate>
struct HalfMath {
  static constexpr bool kForHalfTypes = true;

  COLAD_HD static float exp_nonpositive(float x) { return Functions::exp2(x * kLog2E); }
  COLAD_HD static float reciprocal(float x) { return Functions::reciprocal(x); }
  COLAD_HD static float log_ratio_plus(float w, float added) {
    return std::fma(w, fused_horner(w * w, 2.0f, 0.66492522f, 0.44895727f), added);
  }
  COLAD_HD static float log_positive(float x) { return Functions::log2(x) * kLn2; }
  COLAD_HD static float power(float x, float y) { return Functions::exp2(y * Functions::log2(x)); }
  COLAD_HD static float root(float x) { return Functions::root(x); }
};

// The arithmetic for logits of type T. Double has none: it takes the formulas of the CPU.
template <typename T>
using FastMath = std::conditional_t<sizeof(T) == 2, HalfMath<>, SingleMath<>>;

}  // namespace colad
