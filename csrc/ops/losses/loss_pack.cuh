// Loads and stores of 16 bytes.
#pragma once

#include <bit>

#include "common/cuda.cuh"
#include "common/dispatch.h"

namespace colad {

constexpr int kPackBytes = 16;  // the widest load and store of one thread

template <typename T>
constexpr int kPack = kPackBytes / sizeof(T);

// n values that are loaded and stored as a whole: 16 bytes or a multiple.
template <typename T, int n>
struct alignas(kPackBytes) Pack {
  T values[n];
};

// Value j in the compute type.
template <typename T, int n>
__device__ compute_t<T> value_of(const Pack<T, n>& pack, int j) {
  if constexpr (std::is_same_v<T, torch::headeronly::BFloat16>) {
    // A bfloat16 is the upper half of a float32: one shift or one mask.
    struct Words {
      uint32_t of_two[n / 2];
    };
    const uint32_t word = std::bit_cast<Words>(pack).of_two[j / 2];
    return std::bit_cast<float>(j % 2 == 0 ? word << 16 : word & 0xffff0000u);
  } else {
    return static_cast<compute_t<T>>(pack.values[j]);
  }
}

template <typename T, int n>
__device__ Pack<T, n> load_pack(const void* data, int64_t first) {
  return *reinterpret_cast<const Pack<T, n>*>(static_cast<const T*>(data) + first);
}

template <typename T, int n>
__device__ void store_pack(void* data, int64_t first, const Pack<T, n>& pack) {
  *reinterpret_cast<Pack<T, n>*>(static_cast<T*>(data) + first) = pack;
}

}  // namespace colad
