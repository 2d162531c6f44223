// What the last block of a launch does with the results of all blocks.
#pragma once

#include "common/ticket.cuh"

namespace colad {

// Whether all other blocks have called this function before. Every thread of every block calls it once. The last block
// may then read what the first thread of every block has written before the call.
__device__ inline bool is_last_block(const Ticket& ticket) {
  __shared__ bool is_last;
  if (threadIdx.x == 0) {
    __threadfence();
    is_last = atomicAdd(ticket.counter(), 1u) == gridDim.x - 1;
    __threadfence();
    if (is_last) {
      *ticket.counter() = 0;
    }
  }
  __syncthreads();
  return is_last;
}

}  // namespace colad
