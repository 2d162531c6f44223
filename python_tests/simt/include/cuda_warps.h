// Barriers and collective operations of a warp.
#pragma once

#include <cstring>
#include <type_traits>

#include "../simt.h"

namespace simt {

template <typename T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8 && std::is_arithmetic_v<T>);
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
  static_assert(sizeof(T) >= 4, "CUDA shuffles 4 or 8 bytes");
  const Lanes lanes = collect(to_bits(value), mask, where);
  if (source < 0 || source > 31) {
    return value;
  }
  if (!(lanes.mask >> source & 1)) {
    fail("a shuffle reads a lane that its mask does not name", where);
  }
  return from_bits<T>(lanes.bits[source]);
}

// What `op` makes of the values of all lanes of the mask; `op` takes them two at a time, in the order of the lanes.
template <typename T, typename Op>
T reduce(unsigned mask, T value, Op op, Where where) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>, "CUDA reduces 32 bits");
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

template <typename Predicate>
unsigned ballot(const Lanes& lanes, Predicate predicate) {
  unsigned found = 0;
  for (int lane = 0; lane < 32; ++lane) {
    found |= unsigned((lanes.mask >> lane & 1) && predicate(lanes.bits[lane])) << lane;
  }
  return found;
}

}  // namespace simt

inline void __syncthreads(simt::Where where = simt::Where::current()) { simt::sync_block(where); }
inline void __syncwarp(unsigned mask = 0xffffffffu, simt::Where where = simt::Where::current()) {
  simt::collect(0, mask, where);
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, simt::Where where = simt::Where::current()) {
  return simt::shuffle(mask, value, source & 31, where);
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
  return simt::ballot(simt::collect(predicate != 0, mask, where), [](uint64_t bits) { return bits != 0; });
}
inline int __any_sync(unsigned mask, int predicate, simt::Where where = simt::Where::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, simt::Where where = simt::Where::current()) {
  return __ballot_sync(mask, predicate, where) == mask;
}
// The lanes that have the same value.
template <typename T>
unsigned __match_any_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  static_assert(sizeof(T) >= 4, "CUDA compares 4 or 8 bytes");
  const uint64_t own = simt::to_bits(value);
  return simt::ballot(simt::collect(own, mask, where), [=](uint64_t bits) { return bits == own; });
}

template <typename T>
T __reduce_add_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  return simt::reduce(mask, value, [](T a, T b) { return T(unsigned(a) + unsigned(b)); }, where);
}
template <typename T>
T __reduce_min_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  return simt::reduce(mask, value, [](T a, T b) { return b < a ? b : a; }, where);
}
template <typename T>
T __reduce_max_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  return simt::reduce(mask, value, [](T a, T b) { return a < b ? b : a; }, where);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, simt::Where where = simt::Where::current()) {
  return simt::reduce(mask, value, [](unsigned a, unsigned b) { return a & b; }, where);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, simt::Where where = simt::Where::current()) {
  return simt::reduce(mask, value, [](unsigned a, unsigned b) { return a | b; }, where);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, simt::Where where = simt::Where::current()) {
  return simt::reduce(mask, value, [](unsigned a, unsigned b) { return a ^ b; }, where);
}
