// What the kernels with faults share.
#pragma once

#include "common/reduce.cuh"

namespace colad {
namespace {

constexpr int kBlock = 64;  // two warps
constexpr int kBlocks = 2;

struct Params {
  const float* input;
  float* output;  // both of kBlock * kBlocks values
  int* counters;  // 4 zeros
};

#define KERNEL(name)     \
  template <bool kRight> \
  __global__ void name(Params p)

__device__ inline unsigned thread() { return threadIdx.x; }
__device__ inline unsigned lane() { return threadIdx.x % kWarp; }

}  // namespace
}  // namespace colad
