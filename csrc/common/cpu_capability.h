// Vector instructions chosen at run time: the same C++ is compiled for each kind of CPU.
//
//   vectorised([=] { for (...) out[i] = formula(in[i]); });
//
// compiles the loop once with the vectors of each capability and runs the widest version that the CPU has. Only this
// loop is compiled in this way: no function of another file can get instructions that the CPU does not know. All
// versions round in the same way (no contraction, no reassociation), so their results are equal bit for bit.
//
// vectorised_fused also allows the compiler to compute a * b + c with one rounding, where the CPU can. This is a third
// faster where polynomials are most of the work. The last digits of the results then depend on the capability; they are
// the same at every call.
//
// A body may take the capability that it is compiled for:
//
//   vectorised([=](auto cpu) { gather<cpu()>(...); });
//
// Every function that the body calls must be inline. Capture by value, or copy to locals first: for the compiler every
// store may change a value that is captured by reference, and then it does not vectorise the loop.
#pragma once

#include <type_traits>

namespace colad {

enum class CpuCapability { baseline, avx2, avx512 };

// The best capability of this CPU. The environment variable COLAD_CPU_CAPABILITY (baseline, avx2 or avx512) can name a
// lower one; it is read once. Throws std::runtime_error if the variable has another value, or names a capability that
// this CPU does not have.
CpuCapability cpu_capability();

const char* name_of(CpuCapability capability);

namespace capability {

template <CpuCapability cpu, typename Body>
void call(Body& body) {
  using Compiled = std::integral_constant<CpuCapability, cpu>;
  if constexpr (std::is_invocable_v<Body&, Compiled>) {
    body(Compiled{});
  } else {
    body();
  }
}

template <typename Body>
[[gnu::flatten, gnu::noinline]] void run_baseline(Body body) {
  call<CpuCapability::baseline>(body);
}

#if defined(__x86_64__)
#if defined(__clang__)  // clang has no attribute for either: its vectors have 256 bits, and it fuses nothing
#define COLAD_WIDEST "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c"
#define COLAD_FUSED
#else
#define COLAD_WIDEST "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c,prefer-vector-width=512"
#define COLAD_FUSED [[gnu::optimize("fp-contract=fast", "no-math-errno", "no-trapping-math")]]
#endif
#define COLAD_AVX2 gnu::target("avx2,fma,f16c"), gnu::flatten, gnu::noinline
#define COLAD_AVX512 gnu::target(COLAD_WIDEST), gnu::flatten, gnu::noinline

template <typename Body>
[[COLAD_AVX2]] void run_avx2(Body body) {
  call<CpuCapability::avx2>(body);
}

template <typename Body>
[[COLAD_AVX512]] void run_avx512(Body body) {
  call<CpuCapability::avx512>(body);
}

template <typename Body>
COLAD_FUSED [[COLAD_AVX2]] void run_avx2_fused(Body body) {
  call<CpuCapability::avx2>(body);
}

template <typename Body>
COLAD_FUSED [[COLAD_AVX512]] void run_avx512_fused(Body body) {
  call<CpuCapability::avx512>(body);
}
#endif

template <typename Body>
using Run = void (*)(Body);

template <typename Body>
Run<Body> choose(Run<Body> baseline, [[maybe_unused]] Run<Body> avx2, [[maybe_unused]] Run<Body> avx512) {
  switch (cpu_capability()) {
    case CpuCapability::avx512:
      return avx512;
    case CpuCapability::avx2:
      return avx2;
    default:
      return baseline;
  }
}

}  // namespace capability

template <typename Body>
void vectorised(Body body) {
  using namespace capability;
#if defined(__x86_64__)
  choose<Body>(run_baseline<Body>, run_avx2<Body>, run_avx512<Body>)(body);
#else
  run_baseline(body);
#endif
}

template <typename Body>
void vectorised_fused(Body body) {
  using namespace capability;
#if defined(__x86_64__)
  choose<Body>(run_baseline<Body>, run_avx2_fused<Body>, run_avx512_fused<Body>)(body);
#else
  run_baseline(body);
#endif
}

}  // namespace colad
