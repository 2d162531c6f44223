// Atomic operations, fences, loads and stores that say how they use the caches, and waiting for work ahead.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "../simt.h"

// So that the return address of what is called is in the kernel.
#define SIMT_INLINE __attribute__((always_inline)) inline

namespace simt {

template <typename T, typename... Types>
constexpr bool is_one_of = (std::is_same_v<T, Types> || ...);

template <typename T, typename Op>
__attribute__((noinline, no_sanitize("thread"))) T atomic(T* address, Op op) {
  yield();
  touch(address, sizeof(T), Access::atomic, __builtin_return_address(0));
  T old;
  std::memcpy(&old, address, sizeof(T));
  const T changed = op(old);
  std::memcpy(address, &changed, sizeof(T));
  return old;
}

template <typename T>
__attribute__((noinline, no_sanitize("thread"))) T fresh_load(const T* address) {
  touch(address, sizeof(T), Access::fresh_read, __builtin_return_address(0));
  T value;
  std::memcpy(&value, address, sizeof(T));
  return value;
}

}  // namespace simt

#define SIMT_ATOMIC(name, result, ...)                                             \
  template <typename T>                                                            \
  SIMT_INLINE T name(T* address, std::type_identity_t<T> value) {                  \
    static_assert(simt::is_one_of<T, __VA_ARGS__>, "CUDA has no " #name " of it"); \
    return simt::atomic(address, [=](T old) { return T(result); });                \
  }
SIMT_ATOMIC(atomicAdd, old + value, int, unsigned, unsigned long long, float, double)
SIMT_ATOMIC(atomicSub, old - value, int, unsigned)
SIMT_ATOMIC(atomicMax, std::max(old, value), int, unsigned, long long, unsigned long long)
SIMT_ATOMIC(atomicMin, std::min(old, value), int, unsigned, long long, unsigned long long)
SIMT_ATOMIC(atomicAnd, old& value, int, unsigned, unsigned long long)
SIMT_ATOMIC(atomicOr, old | value, int, unsigned, unsigned long long)
SIMT_ATOMIC(atomicXor, old ^ value, int, unsigned, unsigned long long)
SIMT_ATOMIC(atomicExch, value, int, unsigned, unsigned long long, float)
SIMT_ATOMIC(atomicInc, old >= value ? 0u : old + 1u, unsigned)
SIMT_ATOMIC(atomicDec, old == 0u || old > value ? value : old - 1u, unsigned)
#undef SIMT_ATOMIC

template <typename T>
SIMT_INLINE T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  static_assert(simt::is_one_of<T, int, unsigned, unsigned long long>, "CUDA has no atomicCAS of it");
  return simt::atomic(address, [=](T old) { return old == expected ? value : old; });
}

inline void __threadfence() { simt::fence(); }
// Between threads of a block, barriers are what the kernels wait at. It orders nothing with other blocks.
inline void __threadfence_block() {}

template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldca(const T* address) {
  return *address;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
template <typename T>
SIMT_INLINE T __ldcg(const T* address) {
  return simt::fresh_load(address);
}
template <typename T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <typename T>
void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}

inline void cudaGridDependencySynchronize() { simt::wait_for_earlier_work(); }
// Lets the next launch begin. That launch reads nothing before this one has ended, so it has no effect here.
inline void cudaTriggerProgrammaticLaunchCompletion() {}
