#include "common/cpu_capability.h"

#include <cstdlib>
#include <string_view>

#include "common/check.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace colad {
namespace {

constexpr CpuCapability kAll[] = {CpuCapability::baseline, CpuCapability::avx2, CpuCapability::avx512};

#if defined(__x86_64__)
// Every CPU with AVX2 that we know has F16C. clang's __builtin_cpu_supports knows no such name.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

CpuCapability best_of_this_cpu() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) {
    return CpuCapability::baseline;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return CpuCapability::avx512;
  }
  return CpuCapability::avx2;
#else
  return CpuCapability::baseline;
#endif
}

CpuCapability chosen() {
  const CpuCapability best = best_of_this_cpu();
  const char* asked = std::getenv("COLAD_CPU_CAPABILITY");
  if (asked == nullptr || *asked == '\0') {
    return best;
  }
  for (const CpuCapability capability : kAll) {
    if (std::string_view(asked) == name_of(capability)) {
      check(capability <= best, "COLAD_CPU_CAPABILITY should be one that this CPU has, at most ", name_of(best),
            ", got ", asked);
      return capability;
    }
  }
  fail("COLAD_CPU_CAPABILITY should be baseline, avx2 or avx512, got ", asked);
}

}  // namespace

const char* name_of(CpuCapability capability) {
  switch (capability) {
    case CpuCapability::avx512:
      return "avx512";
    case CpuCapability::avx2:
      return "avx2";
    default:
      return "baseline";
  }
}

CpuCapability cpu_capability() {
  static const CpuCapability capability = chosen();
  return capability;
}

}  // namespace colad

// colad_ops reads this through ctypes. An exception must not pass through ctypes: if the environment variable is wrong,
// the function returns the error message instead of the name.
extern "C" __attribute__((visibility("default"))) const char* colad_cpu_capability() {
  static const std::string name_or_error = [] {
    try {
      return std::string(colad::name_of(colad::cpu_capability()));
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
  }();
  return name_or_error.c_str();
}
