// The last block of a launch can read what all other blocks wrote: so one launch also adds up what its blocks found.
#pragma once

#include "common/cuda.cuh"

namespace colad {

// Whether this block comes here last. Then everything that the other blocks wrote before is visible to all its threads.
// `arrived` starts at 0. All threads of all blocks call this function once.
__device__ inline bool is_last_block(int32_t* arrived) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(arrived, 1) == static_cast<int32_t>(gridDim.x) - 1;
  }
  __syncthreads();
  __threadfence();
  return last;
}

}  // namespace colad
