// Faults in barriers, masks and launches, for test_guards.py: one a kernel, with kRight the same kernel is right.
// What is wrong shows at a line that ends with the kernel's name.
#pragma once

#include "fault.cuh"

namespace colad {
namespace {

KERNEL(missing_syncthreads) {
  __shared__ float shared[kBlock];
  shared[thread()] = p.input[thread_index()];
  if (kRight) {
    __syncthreads();
  }
  p.output[thread_index()] = shared[kBlock - 1 - thread()];  // missing_syncthreads
}

KERNEL(missing_second_syncthreads) {
  __shared__ float shared[kBlock];
  shared[thread()] = p.input[thread_index()];
  __syncthreads();
  const float other = shared[kBlock - 1 - thread()];  // missing_second_syncthreads
  if (kRight) {
    __syncthreads();
  }
  shared[thread()] = other;  // missing_second_syncthreads
  p.output[thread_index()] = shared[thread()];
}

KERNEL(missing_syncthreads_around_global_memory) {
  p.output[thread_index()] = p.input[thread_index()];  // missing_syncthreads_around_global_memory
  if (kRight) {
    __syncthreads();
  }
  const int64_t next = thread_index() - thread() + (thread() + 1) % kBlock;
  const float other = p.output[next];  // missing_syncthreads_around_global_memory
  __syncthreads();
  p.output[thread_index()] = other;
}

KERNEL(missing_syncwarp) {
  __shared__ float shared[kBlock];
  shared[thread()] = p.input[thread_index()];
  if (kRight) {
    __syncwarp();
  }
  p.output[thread_index()] = shared[thread() ^ 1];  // missing_syncwarp
}

KERNEL(missing_second_syncwarp) {
  __shared__ float shared[kBlock];
  shared[thread()] = p.input[thread_index()];
  __syncwarp();
  const float other = shared[thread() ^ 1];  // missing_second_syncwarp
  if (kRight) {
    __syncwarp();
  }
  shared[thread()] = other;  // missing_second_syncwarp
  p.output[thread_index()] = shared[thread()];
}

KERNEL(syncwarp_where_the_block_must_wait) {
  __shared__ float shared[kBlock];
  shared[thread()] = p.input[thread_index()];
  if (kRight) {
    __syncthreads();
  } else {
    __syncwarp();
  }
  p.output[thread_index()] = shared[thread() ^ kWarp];  // syncwarp_where_the_block_must_wait
}

KERNEL(syncwarp_of_other_lanes) {
  __shared__ float shared[kBlock];
  shared[thread()] = p.input[thread_index()];
  __syncwarp(kRight ? kFullMask : lane() < 16 ? 0x0000ffffu : 0xffff0000u);
  p.output[thread_index()] = shared[thread() ^ 16];  // syncwarp_of_other_lanes
}

// Lanes 0..15 meet twice, so counting how often each lane met would take them for ahead of lanes 16..31.
KERNEL(syncwarp_of_other_lanes_again) {
  __shared__ float shared[kBlock];
  if (lane() >= 16) {
    shared[thread()] = p.input[thread_index()];  // syncwarp_of_other_lanes_again
  } else {
    shared[thread()] = p.input[thread_index()];
    __syncwarp(0x0000ffffu);
  }
  if (kRight) {
    __syncwarp();
  }
  p.output[thread_index()] = lane() < 16 ? shared[thread() ^ 16] : 0.0f;  // syncwarp_of_other_lanes_again
}

KERNEL(diverging_barriers) {
  if (kRight || thread() < kWarp) {
    __syncthreads();  // diverging_barriers
  } else {
    __syncthreads();  // diverging_barriers
  }
  p.output[thread_index()] = p.input[thread_index()];
}

KERNEL(unreached_barrier) {
  if (kRight || thread() != 5) {
    __syncthreads();  // unreached_barrier
  }
  p.output[thread_index()] = p.input[thread_index()];
}

KERNEL(return_before_a_barrier) {
  p.output[thread_index()] = p.input[thread_index()];
  if (!kRight && thread() >= 40) {
    return;
  }
  __syncthreads();  // return_before_a_barrier
}

KERNEL(mask_lacks_the_calling_lane) {
  p.output[thread_index()] =
      __shfl_xor_sync(kRight ? kFullMask : 0x7fffffffu, p.input[thread_index()], 1);  // mask_lacks_the_calling_lane
}

KERNEL(mask_names_a_lane_that_ended) {
  p.output[thread_index()] = p.input[thread_index()];
  if (!kRight && lane() == 31) {
    return;
  }
  p.output[thread_index()] = __shfl_xor_sync(kFullMask, p.input[thread_index()], 1);  // mask_names_a_lane_that_ended
}

KERNEL(mask_names_a_lane_that_waits_elsewhere) {
  float value = p.input[thread_index()];
  if (kRight || lane() < 16) {
    value = __shfl_xor_sync(kFullMask, value, 1);  // mask_names_a_lane_that_waits_elsewhere
  } else {
    value = __shfl_xor_sync(kFullMask, value, 1);  // mask_names_a_lane_that_waits_elsewhere
  }
  p.output[thread_index()] = value;
}

KERNEL(masks_differ) {
  const unsigned mask = kRight || lane() < 16 ? kFullMask : 0xffff0000u;
  p.output[thread_index()] = __shfl_xor_sync(mask, p.input[thread_index()], 1);  // masks_differ
}

KERNEL(shuffle_from_a_lane_outside_the_mask) {
  p.output[thread_index()] = p.input[thread_index()];
  if (lane() < 16) {
    p.output[thread_index()] =
        __shfl_sync(0x0000ffffu, p.input[thread_index()], kRight ? 3 : 20);  // shuffle_from_a_lane_outside_the_mask
  }
}

KERNEL(mask_beyond_the_block) {
  const unsigned mask = kRight && thread() >= kWarp ? 0x0000ffffu : kFullMask;
  p.output[thread_index()] = __shfl_xor_sync(mask, p.input[thread_index()], 1);  // mask_beyond_the_block
}

KERNEL(too_large_a_block) {
  __shared__ float shared[1024];
  shared[thread()] = p.input[thread() % kBlock];
  __syncthreads();
  if (thread() < kBlock * kBlocks) {
    p.output[thread()] = shared[1023 - thread()];
  }
}

// A comma in the kernel's name, and another way to lose a barrier.
template <typename Value, bool kRight>
__global__ void two_template_arguments(Params p) {
  for (unsigned i = 0; i < (kRight ? 4 : thread() % 4); ++i) {
    __syncthreads();  // two_template_arguments
  }
  p.output[thread_index()] = Value(p.input[thread_index()]);
}

}  // namespace
}  // namespace colad
