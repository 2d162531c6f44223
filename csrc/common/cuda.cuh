// What every kernel needs besides its formula: the number of blocks, and the index of the thread.
#pragma once

#include <algorithm>

#include "common/launch.cuh"

namespace colad {

// Grid size of a grid-stride kernel: enough blocks for `work` items, and no more than kMaxGrid.
inline unsigned grid_for(int64_t work, int block) {
  return static_cast<unsigned>(std::clamp<int64_t>((work + block - 1) / block, 1, kMaxGrid));
}

// The index of this thread among all threads of the launch, and their number.
__device__ inline int64_t thread_index() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t thread_count() { return int64_t(gridDim.x) * blockDim.x; }

// Waits until the kernel before this one in the stream has ended and its results are visible. Only a kernel that is
// launched with launch_dependent has to wait. It also lets the next kernel set up its blocks.
__device__ inline void wait_for_previous_kernel() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
  cudaGridDependencySynchronize();
#endif
}

}  // namespace colad
