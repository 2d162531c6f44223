// Reductions of a warp and of a block. The order of additions is fixed: every run gives the same bits.
#pragma once

#include "common/cuda.cuh"

namespace colad {

constexpr int kWarp = 32;
constexpr unsigned kFullMask = 0xffffffffu;

// The index of the warp in its block. After the shuffle the compiler knows that it is the same in all lanes: code under
// a condition on it is not prepared for lanes that have gone different ways.
__device__ inline int warp_in_block() { return __shfl_sync(kFullMask, static_cast<int>(threadIdx.x) / kWarp, 0); }

struct Add {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Min {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

// Every lane gets the result. In this butterfly all lanes add the same pairs, so they get the same bits.
template <typename T, typename Op>
__device__ T warp_reduce(T value, Op op) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    value = op(value, __shfl_xor_sync(kFullMask, value, offset));
  }
  return value;
}

// Every thread gets the result. blockDim.x is a multiple of 32; `scratch` is shared memory for 32 values and may be
// reused by the next call at once.
template <typename T, typename Op>
__device__ T block_reduce(T value, Op op, T identity, T* scratch) {
  value = warp_reduce(value, op);
  if (threadIdx.x % kWarp == 0) {
    scratch[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  const int warps = blockDim.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  value = warp_reduce(lane < warps ? scratch[lane] : identity, op);
  __syncthreads();
  return value;
}

}  // namespace colad
