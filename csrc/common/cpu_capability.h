// Vector instructions chosen when the program runs: the same C++ compiled for each kind of CPU.
//
//   vectorised([=] { for (...) out[i] = formula(in[i]); });
//
// compiles the loop once with the vectors of each capability and runs the widest that the CPU has. Nothing but that
// loop is compiled so: no function of another file can end up with instructions that the CPU does not know. Rounding is
// the same in all of them (no contraction, no reassociation), so results are too, bit for bit.
//
// vectorised_fused also lets the compiler round a * b + c once, where the CPU can: a third faster where polynomials are
// most of the work. Results then differ between capabilities in their last digits; they are the same at every call.
//
// Everything the body calls must be inline. Capture by value, or copy to locals first: what is reached by reference
// may be changed by every store, and then the loop is not vectorised.
#pragma once

namespace colad {

enum class CpuCapability { baseline, avx2, avx512 };

// The best that this CPU has, or the lower one that the environment variable COLAD_CPU_CAPABILITY names (baseline,
// avx2, avx512); read once. Throws std::runtime_error when it names another, or one that this CPU does not have.
CpuCapability cpu_capability();

const char* name_of(CpuCapability capability);

namespace capability {

template <typename Body>
[[gnu::flatten, gnu::noinline]] void run_baseline(Body body) {
  body();
}

#if defined(__x86_64__)
#if defined(__clang__)  // has no attribute for either: vectors of 256 bits, nothing fused
#define COLAD_WIDEST "avx512f,avx512bw,avx512dq,avx512vl,fma"
#define COLAD_FUSED
#else
#define COLAD_WIDEST "avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512"
#define COLAD_FUSED [[gnu::optimize("fp-contract=fast", "no-math-errno", "no-trapping-math")]]
#endif
#define COLAD_AVX2 gnu::target("avx2,fma"), gnu::flatten, gnu::noinline
#define COLAD_AVX512 gnu::target(COLAD_WIDEST), gnu::flatten, gnu::noinline

template <typename Body>
[[COLAD_AVX2]] void run_avx2(Body body) {
  body();
}

template <typename Body>
[[COLAD_AVX512]] void run_avx512(Body body) {
  body();
}

template <typename Body>
COLAD_FUSED [[COLAD_AVX2]] void run_avx2_fused(Body body) {
  body();
}

template <typename Body>
COLAD_FUSED [[COLAD_AVX512]] void run_avx512_fused(Body body) {
  body();
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
