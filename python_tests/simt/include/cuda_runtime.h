// What the kernels use of CUDA, in terms of simt.h. Found before the real header when they are compiled for the CPU.
#pragma once

#include <bit>
#include <cstring>

#include "../simt.h"

#define __host__
#define __device__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __restrict__
// Blocks run one after the other, so one copy is enough; the loader hands each over by its symbol. So far apart that
// the end of none (48 KiB at most) touches the next.
#define __shared__ static __attribute__((aligned(65536)))

#define threadIdx (simt::thread_index())
#define blockIdx (simt::block_index())
#define blockDim (simt::block_size())
#define gridDim (simt::grid_size())

using cudaStream_t = void*;

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};

// So that the return address of `simt::atomic` is in the kernel.
#define SIMT_INLINE __attribute__((always_inline)) inline

namespace simt {

template <typename T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <typename T>
T shuffle(unsigned mask, T value, int source, Where where) {
  const Lanes lanes = collect(to_bits(value), mask, where);
  if (source < 0 || source > 31) {
    return value;
  }
  if (!(lanes.mask >> source & 1)) {
    fail("a shuffle reads a lane that its mask does not name", where);
  }
  return from_bits<T>(lanes.bits[source]);
}

template <typename T, typename Op>
T reduce(unsigned mask, T value, Op op, Where where) {
  const Lanes lanes = collect(to_bits(value), mask, where);
  T total = value;
  bool first = true;
  for (int lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1) {
      const T other = from_bits<T>(lanes.bits[lane]);
      total = first ? other : op(total, other);
      first = false;
    }
  }
  return total;
}

template <typename T, typename Op>
__attribute__((noinline, no_sanitize("thread"))) T atomic(T* address, Op op) {
  touch(address, sizeof(T), Access::atomic, __builtin_return_address(0));
  T old;
  std::memcpy(&old, address, sizeof(T));
  const T changed = op(old);
  std::memcpy(address, &changed, sizeof(T));
  return old;
}

}  // namespace simt

inline void __syncthreads(simt::Where where = simt::Where::current()) { simt::sync_block(where); }
inline void __syncwarp(unsigned mask = 0xffffffffu, simt::Where where = simt::Where::current()) {
  simt::collect(0, mask, where);
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, simt::Where where = simt::Where::current()) {
  return simt::shuffle(mask, value, source, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, simt::Where where = simt::Where::current()) {
  return simt::shuffle(mask, value, simt::lane() ^ bits, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, simt::Where where = simt::Where::current()) {
  return simt::shuffle(mask, value, simt::lane() + int(delta), where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, simt::Where where = simt::Where::current()) {
  return simt::shuffle(mask, value, simt::lane() - int(delta), where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, simt::Where where = simt::Where::current()) {
  const simt::Lanes lanes = simt::collect(predicate != 0, mask, where);
  unsigned ballot = 0;
  for (int lane = 0; lane < 32; ++lane) {
    ballot |= unsigned((mask >> lane & 1) && lanes.bits[lane]) << lane;
  }
  return ballot;
}
inline int __any_sync(unsigned mask, int predicate, simt::Where where = simt::Where::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, simt::Where where = simt::Where::current()) {
  return __ballot_sync(mask, predicate, where) == mask;
}
template <typename T>
T __reduce_add_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  return simt::reduce(mask, value, [](T a, T b) { return a + b; }, where);
}
template <typename T>
T __reduce_min_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  return simt::reduce(mask, value, [](T a, T b) { return b < a ? b : a; }, where);
}
template <typename T>
T __reduce_max_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  return simt::reduce(mask, value, [](T a, T b) { return a < b ? b : a; }, where);
}

template <typename T>
SIMT_INLINE T atomicAdd(T* address, T value) {
  return simt::atomic(address, [=](T old) { return old + value; });
}
template <typename T>
SIMT_INLINE T atomicMax(T* address, T value) {
  return simt::atomic(address, [=](T old) { return old < value ? value : old; });
}
template <typename T>
SIMT_INLINE T atomicMin(T* address, T value) {
  return simt::atomic(address, [=](T old) { return value < old ? value : old; });
}

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(unsigned(x)) + 1; }
template <typename T>
T __ldg(const T* address) {
  return *address;
}
