// float16 arrays to float32 arrays and back with the conversion instructions of the CPU (F16C), where it has them.
// torch's own conversion is arithmetic on the bits. Both are exact to the last bit; a NaN stays NaN, possibly another
// one.
#pragma once

#include <torch/headeronly/util/Half.h>

#include <cstdint>
#include <type_traits>

#include "common/cpu_capability.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace colad {

// Whether arrays of `From` become arrays of `To` by convert_halves.
template <CpuCapability cpu, typename From, typename To>
constexpr bool kConvertsHalves =
    cpu != CpuCapability::baseline && ((std::is_same_v<From, torch::headeronly::Half> && std::is_same_v<To, float>) ||
                                       (std::is_same_v<From, float> && std::is_same_v<To, torch::headeronly::Half>));

#if defined(__x86_64__)
// Each function converts as many values as its name says.
#define COLAD_F16C [[gnu::target("avx2,fma,f16c")]] inline

COLAD_F16C void convert_1(const torch::headeronly::Half* from, float* to) { *to = _cvtsh_ss(from->x); }

COLAD_F16C void convert_4(const torch::headeronly::Half* from, float* to) {
  _mm_storeu_ps(to, _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}

COLAD_F16C void convert_8(const torch::headeronly::Half* from, float* to) {
  _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}

COLAD_F16C void convert_1(const float* from, torch::headeronly::Half* to) {
  to->x = _cvtss_sh(*from, _MM_FROUND_TO_NEAREST_INT);
}

COLAD_F16C void convert_4(const float* from, torch::headeronly::Half* to) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_cvtps_ph(_mm_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}

COLAD_F16C void convert_8(const float* from, torch::headeronly::Half* to) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}

#undef COLAD_F16C

// to[i] = from[i] for i < count. The arrays do not overlap.
template <typename From, typename To>
void convert_halves(const From* from, int64_t count, To* to) {
  if (count >= 8) {
    for (int64_t i = 0; i + 8 < count; i += 8) {
      convert_8(from + i, to + i);
    }
    convert_8(from + count - 8, to + count - 8);  // some of them a second time
    return;
  }
  if (count >= 4) {
    convert_4(from, to);
    convert_4(from + count - 4, to + count - 4);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    convert_1(from + i, to + i);
  }
}

template <typename From, typename To>
void convert_half(const From* from, To* to) {
  convert_1(from, to);
}
#else
template <typename From, typename To>
void convert_halves(const From*, int64_t, To*);  // kConvertsHalves is false: never called

template <typename From, typename To>
void convert_half(const From*, To*);
#endif

// to = from, of any types.
template <CpuCapability cpu, typename From, typename To>
void convert(const From& from, To& to) {
  if constexpr (kConvertsHalves<cpu, From, To>) {
    convert_half(&from, &to);
  } else {
    to = static_cast<To>(from);
  }
}

}  // namespace colad
