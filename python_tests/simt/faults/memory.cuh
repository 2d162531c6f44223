// Faults in what memory is read and written, for test_guards.py: one a kernel, with kRight the same kernel is
// right. What is wrong shows at a line that ends with the kernel's name.
#pragma once

#include "fault.cuh"

namespace colad {
namespace {

KERNEL(shared_read_past_the_end) {
  __shared__ float neighbour[kBlock], shared[kBlock], other_neighbour[kBlock];
  neighbour[thread()] = shared[thread()] = other_neighbour[thread()] = p.input[thread_index()];
  __syncthreads();
  p.output[thread_index()] =
      shared[thread() + !kRight] + neighbour[thread()] + other_neighbour[thread()];  // shared_read_past_the_end
}

KERNEL(shared_write_before_the_start) {
  __shared__ float neighbour[kBlock], shared[kBlock], other_neighbour[kBlock];
  shared[int(thread()) - !kRight] = p.input[thread_index()];  // shared_write_before_the_start
  neighbour[thread()] = other_neighbour[thread()] = 0.0f;
  if (kRight || p.input == nullptr) {
    p.output[thread_index()] = shared[thread()] + neighbour[thread()] + other_neighbour[thread()];
  }
}

KERNEL(shared_write_far_past_the_end) {
  __shared__ float neighbour[kBlock], shared[kBlock], other_neighbour[kBlock];
  shared[thread() + (kRight ? 0 : kBlock)] = p.input[thread_index()];  // shared_write_far_past_the_end
  neighbour[thread()] = other_neighbour[thread()] = 0.0f;
  if (kRight || p.input == nullptr) {
    p.output[thread_index()] = shared[thread()] + neighbour[thread()] + other_neighbour[thread()];
  }
}

KERNEL(shared_never_written) {
  __shared__ float shared[kBlock];
  if (kRight || thread() != 7) {
    shared[thread()] = p.input[thread_index()];
  }
  p.output[thread_index()] = shared[thread()];  // shared_never_written
}

KERNEL(shared_written_by_another_block) {
  __shared__ float shared[kBlock];
  if (kRight || blockIdx.x == 0) {
    shared[thread()] = p.input[thread_index()];
  }
  p.output[thread_index()] = shared[thread()];  // shared_written_by_another_block
}

KERNEL(read_past_the_end) {
  p.output[thread_index()] = p.input[thread_index() + !kRight];  // read_past_the_end
}

KERNEL(read_before_the_start) {
  p.output[thread_index()] = p.input[thread_index() - !kRight];  // read_before_the_start
}

KERNEL(write_past_the_end) {
  p.output[thread_index() + !kRight] = p.input[thread_index()];  // write_past_the_end
}

KERNEL(write_before_the_start) {
  p.output[thread_index() - !kRight] = p.input[thread_index()];  // write_before_the_start
}

// `scratch` and `next` are two arrays of one allocation, each as large as the output.
template <bool kRight>
__global__ void scratch_write_into_the_next_array(Params p, float* scratch, float* next) {
  next[thread_index()] = 0.0f;
  scratch[thread_index() + !kRight] = 1.0f;  // scratch_write_into_the_next_array
  p.output[thread_index()] = p.input[thread_index()];
}

KERNEL(load_of_16_bytes_past_the_end) {
  const auto* fours = reinterpret_cast<const float4*>(p.input + (kRight ? 0 : 4));
  const float4 four = fours[thread_index() / 4];  // load_of_16_bytes_past_the_end
  p.output[thread_index()] = four.x;
}

KERNEL(misaligned_load) {
  const auto* fours = reinterpret_cast<const float4*>(p.input + (kRight ? 0 : 2));
  p.output[thread_index()] = fours[0].x;  // misaligned_load
}

KERNEL(write_to_an_input) {
  float* output = kRight ? p.output : const_cast<float*>(p.input);
  output[thread_index()] = 1.0f;  // write_to_an_input
  p.output[thread_index()] = 2.0f;
}

KERNEL(output_never_written) {
  if (kRight || thread() != 3) {
    p.output[thread_index()] = p.input[thread_index()];
  }
  p.output[thread_index()] += 1.0f;  // output_never_written
}

KERNEL(race_of_blocks) {
  if (kRight) {
    atomicAdd(p.output + thread(), p.input[thread_index()]);
  } else {
    p.output[thread()] += p.input[thread_index()];  // race_of_blocks
  }
}

KERNEL(atomic_and_plain_write) {
  if (kRight || blockIdx.x == 0) {
    atomicAdd(p.output + thread(), p.input[thread_index()]);  // atomic_and_plain_write
  } else {
    p.output[thread()] = p.input[thread_index()];  // atomic_and_plain_write
  }
}

KERNEL(plain_read_after_atomics) {
  atomicAdd(p.output + thread(), p.input[thread_index()]);  // plain_read_after_atomics
  __syncthreads();
  if (!kRight && blockIdx.x == 1) {
    p.output[kBlock + thread()] = p.output[thread()];  // plain_read_after_atomics
  }
}

__attribute__((noinline)) float deep(const float* values, int depth) {
  float local[64];
  for (int i = 0; i < 64; ++i) {
    local[i] = values[i] + float(depth);
  }
  return depth == 0 ? local[0] : deep(local, depth - 1);
}

KERNEL(too_much_stack) { p.output[thread_index()] = deep(p.input, kRight ? 3 : 1000); }

}  // namespace
}  // namespace colad
