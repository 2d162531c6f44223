// Vector instructions chosen when the program runs: the same C++ compiled for each kind of CPU.
//
//   vectorised([=] { for (...) out[i] = formula(in[i]); });
//
// compiles the loop once with the vectors of each capability and runs the widest that the CPU has. Nothing but that
// loop is compiled so: no function of another file can end up with instructions that the CPU does not know. Rounding is
// the same in all of them (no contraction, no reassociation), so results are too, bit for bit.
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
template <typename Body>
[[gnu::target("avx2"), gnu::flatten, gnu::noinline]] void run_avx2(Body body) {
  body();
}

template <typename Body>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"), gnu::flatten, gnu::noinline]] void
run_avx512(Body body) {
  body();
}
#endif

}  // namespace capability

template <typename Body>
void vectorised(Body body) {
#if defined(__x86_64__)
  switch (cpu_capability()) {
    case CpuCapability::avx512:
      return capability::run_avx512(body);
    case CpuCapability::avx2:
      return capability::run_avx2(body);
    case CpuCapability::baseline:
      break;
  }
#endif
  capability::run_baseline(body);
}

}  // namespace colad
