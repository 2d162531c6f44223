// Faults in what blocks, warps and launches hand to each other, for test_guards.py: one a kernel, with kRight the same
// kernel is right. What is wrong shows at a line that ends with the kernel's name.
#pragma once

#include "fault.cuh"

namespace colad {
namespace {

struct Steps {
  bool fence = true, barrier = true, atomic = true, second_fence = true, second_barrier = true;
};

// Whether all other blocks have called this. What they wrote before can then be read.
__device__ inline bool is_last_block(const Params& p, const Steps& steps) {
  __shared__ int ticket;
  if (steps.fence) {
    __threadfence();
  }
  if (steps.barrier) {
    __syncthreads();
  }
  if (thread() == 0) {
    if (steps.atomic) {
      ticket = atomicAdd(p.counters, 1);  // counter_reset_by_a_block_that_is_not_last
    } else {
      ticket = p.counters[0]++;  // ticket_not_atomic
    }
    if (steps.second_fence) {
      __threadfence();
    }
  }
  if (steps.second_barrier) {
    __syncthreads();
  }
  return ticket == int(gridDim.x) - 1;  // no_barrier_after_the_ticket
}

// The same for warps.
__device__ inline bool is_last_warp(const Params& p, const Steps& steps) {
  if (steps.fence) {
    __threadfence();
  }
  if (steps.barrier) {
    __syncwarp();
  }
  int ticket = 0;
  if (lane() == 0) {
    ticket = atomicAdd(p.counters, 1);
    if (steps.second_fence) {
      __threadfence();
    }
  }
  return __shfl_sync(kFullMask, ticket, 0) == kBlocks * kBlock / kWarp - 1;
}

// An element that another thread wrote, for each block one of the other block.
__device__ inline int64_t opposite() { return kBlocks * kBlock - 1 - thread_index(); }

KERNEL(no_fence_before_the_ticket) {
  p.output[thread_index()] = p.input[thread_index()];
  if (is_last_block(p, {.fence = kRight})) {
    p.output[thread_index()] += p.output[opposite()];  // no_fence_before_the_ticket
  }
}

KERNEL(no_barrier_before_the_ticket) {
  p.output[thread_index()] = p.input[thread_index()];
  if (is_last_block(p, {.barrier = kRight})) {
    p.output[thread_index()] += p.output[opposite()];  // no_barrier_before_the_ticket
  }
}

KERNEL(fence_of_one_thread_before_the_barrier) {
  p.output[thread_index()] = p.input[thread_index()];
  if (!kRight && thread() == 0) {
    __threadfence();
  }
  __syncthreads();
  if (kRight && thread() == 0) {
    __threadfence();
  }
  if (is_last_block(p, {.fence = false, .barrier = false})) {
    p.output[thread_index()] += p.output[opposite()];  // fence_of_one_thread_before_the_barrier
  }
}

KERNEL(ticket_not_atomic) {
  p.output[thread_index()] = p.input[thread_index()];
  if (is_last_block(p, {.atomic = kRight})) {
    p.output[thread_index()] += 1.0f;
  }
}

KERNEL(no_barrier_after_the_ticket) {
  p.output[thread_index()] = p.input[thread_index()];
  if (is_last_block(p, {.second_barrier = kRight})) {
    p.output[thread_index()] += 1.0f;
  }
}

KERNEL(no_fence_after_the_ticket) {
  p.output[thread_index()] = p.input[thread_index()];
  if (is_last_block(p, {.second_fence = kRight})) {
    p.output[thread_index()] += p.output[opposite()];  // no_fence_after_the_ticket
  }
}

// A load that no cache answers with an older value needs no second fence.
KERNEL(plain_load_after_the_ticket) {
  p.output[thread_index()] = p.input[thread_index()];
  if (is_last_block(p, {.second_fence = false})) {
    const float* other = p.output + opposite();
    p.output[thread_index()] += kRight ? __ldcg(other) : *other;  // plain_load_after_the_ticket
  }
}

KERNEL(counter_reset_by_a_block_that_is_not_last) {
  const bool last = is_last_block(p, {});
  if (thread() == 0 && (kRight ? last : !last)) {
    p.counters[0] = 0;  // counter_reset_by_a_block_that_is_not_last
  }
  p.output[thread_index()] = p.input[thread_index()];
}

KERNEL(no_fence_before_the_ticket_of_a_warp) {
  p.output[thread_index()] = p.input[thread_index()];
  if (is_last_warp(p, {.fence = kRight})) {
    p.output[thread_index()] += p.output[opposite()];  // no_fence_before_the_ticket_of_a_warp
  }
}

KERNEL(no_syncwarp_before_the_ticket_of_a_warp) {
  p.output[thread_index()] = p.input[thread_index()];
  if (is_last_warp(p, {.barrier = kRight})) {
    p.output[thread_index()] += p.output[opposite()];  // no_syncwarp_before_the_ticket_of_a_warp
  }
}

KERNEL(no_fence_after_the_ticket_of_a_warp) {
  p.output[thread_index()] = p.input[thread_index()];
  if (is_last_warp(p, {.second_fence = kRight})) {
    p.output[thread_index()] += p.output[opposite()];  // no_fence_after_the_ticket_of_a_warp
  }
}

// Blocks 0 and 1 share a counter, blocks 2 and 3 another, and the last of each pair a third.
KERNEL(no_fence_between_two_tickets) {
  p.output[thread_index()] = p.input[thread_index()];
  __threadfence();
  __syncwarp();
  int ticket = 0;
  if (lane() == 0) {
    ticket = atomicAdd(p.counters + blockIdx.x / 2, 1);
    if (ticket == 1) {
      if (kRight) {
        __threadfence();
      }
      ticket += atomicAdd(p.counters + 2, 1);
      __threadfence();
    }
  }
  if (__shfl_sync(kFullMask, ticket, 0) == 2) {
    for (int64_t i = lane(); i < kBlocks * kBlock; i += kWarp) {
      p.output[thread_index()] += p.output[i];  // no_fence_between_two_tickets
    }
  }
}

KERNEL(read_before_waiting_for_the_launch_before) {
  if (kRight && thread() == 0) {
    cudaGridDependencySynchronize();
  }
  __syncthreads();
  const float value = p.input[thread_index()];  // read_before_waiting_for_the_launch_before
  cudaGridDependencySynchronize();
  p.output[thread_index()] = value;
}

KERNEL(no_wait_for_the_launch_before) {
  __shared__ float shared[kBlock];
  shared[thread()] = 1.0f;
  if (kRight) {
    cudaGridDependencySynchronize();
    p.output[thread_index()] = p.input[thread_index()] + shared[thread()];
  }
}

}  // namespace
}  // namespace colad
