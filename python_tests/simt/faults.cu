// One fault a kernel, for test_simt_guards.py: with kRight the same kernel is right. What is wrong shows at a line that
// ends with the kernel's name.
#include <torch/csrc/stable/library.h>

#include <string>

#include "common/allocate.h"
#include "common/reduce.cuh"

namespace colad {
namespace {

constexpr int kBlock = 64;  // two warps
constexpr int kBlocks = 2;

struct Params {
  const float* input;
  float* output;  // both of kBlock * kBlocks values
};

#define KERNEL(name)     \
  template <bool kRight> \
  __global__ void name(Params p)

// Index of the thread in the block, in its warp, in the tensors.
#define T threadIdx.x
#define LANE (threadIdx.x % kWarp)
#define I thread_index()

KERNEL(missing_syncthreads) {
  __shared__ float shared[kBlock];
  shared[T] = p.input[I];
  if (kRight) {
    __syncthreads();
  }
  p.output[I] = shared[kBlock - 1 - T];  // missing_syncthreads
}

KERNEL(missing_second_syncthreads) {
  __shared__ float shared[kBlock];
  shared[T] = p.input[I];
  __syncthreads();
  const float other = shared[kBlock - 1 - T];  // missing_second_syncthreads
  if (kRight) {
    __syncthreads();
  }
  shared[T] = other;  // missing_second_syncthreads
  p.output[I] = shared[T];
}

KERNEL(missing_syncthreads_around_global_memory) {
  p.output[I] = p.input[I];  // missing_syncthreads_around_global_memory
  if (kRight) {
    __syncthreads();
  }
  const float other = p.output[I - T + (T + 1) % kBlock];  // missing_syncthreads_around_global_memory
  __syncthreads();
  p.output[I] = other;
}

KERNEL(missing_syncwarp) {
  __shared__ float shared[kBlock];
  shared[T] = p.input[I];
  if (kRight) {
    __syncwarp();
  }
  p.output[I] = shared[T ^ 1];  // missing_syncwarp
}

KERNEL(missing_second_syncwarp) {
  __shared__ float shared[kBlock];
  shared[T] = p.input[I];
  __syncwarp();
  const float other = shared[T ^ 1];  // missing_second_syncwarp
  if (kRight) {
    __syncwarp();
  }
  shared[T] = other;  // missing_second_syncwarp
  p.output[I] = shared[T];
}

KERNEL(syncwarp_where_the_block_must_wait) {
  __shared__ float shared[kBlock];
  shared[T] = p.input[I];
  if (kRight) {
    __syncthreads();
  } else {
    __syncwarp();
  }
  p.output[I] = shared[T ^ kWarp];  // syncwarp_where_the_block_must_wait
}

KERNEL(syncwarp_of_other_lanes) {
  __shared__ float shared[kBlock];
  shared[T] = p.input[I];
  __syncwarp(kRight ? kFullMask : LANE < 16 ? 0x0000ffffu : 0xffff0000u);
  p.output[I] = shared[T ^ 16];  // syncwarp_of_other_lanes
}

// Lanes 0..15 meet twice, so counting how often each lane met would take them for ahead of lanes 16..31.
KERNEL(syncwarp_of_other_lanes_again) {
  __shared__ float shared[kBlock];
  if (LANE >= 16) {
    shared[T] = p.input[I];  // syncwarp_of_other_lanes_again
  } else {
    shared[T] = p.input[I];
    __syncwarp(0x0000ffffu);
  }
  if (kRight) {
    __syncwarp();
  }
  p.output[I] = LANE < 16 ? shared[T ^ 16] : 0.0f;  // syncwarp_of_other_lanes_again
}

KERNEL(diverging_barriers) {
  if (kRight || T < kWarp) {
    __syncthreads();  // diverging_barriers
  } else {
    __syncthreads();  // diverging_barriers
  }
  p.output[I] = p.input[I];
}

KERNEL(unreached_barrier) {
  if (kRight || T != 5) {
    __syncthreads();  // unreached_barrier
  }
  p.output[I] = p.input[I];
}

KERNEL(return_before_a_barrier) {
  p.output[I] = p.input[I];
  if (!kRight && T >= 40) {
    return;
  }
  __syncthreads();  // return_before_a_barrier
}

KERNEL(mask_lacks_the_calling_lane) {
  p.output[I] = __shfl_xor_sync(kRight ? kFullMask : 0x7fffffffu, p.input[I], 1);  // mask_lacks_the_calling_lane
}

KERNEL(mask_names_a_lane_that_ended) {
  p.output[I] = p.input[I];
  if (!kRight && LANE == 31) {
    return;
  }
  p.output[I] = __shfl_xor_sync(kFullMask, p.input[I], 1);  // mask_names_a_lane_that_ended
}

KERNEL(mask_names_a_lane_that_waits_elsewhere) {
  float value = p.input[I];
  if (kRight || LANE < 16) {
    value = __shfl_xor_sync(kFullMask, value, 1);  // mask_names_a_lane_that_waits_elsewhere
  } else {
    value = __shfl_xor_sync(kFullMask, value, 1);  // mask_names_a_lane_that_waits_elsewhere
  }
  p.output[I] = value;
}

KERNEL(masks_differ) {
  const unsigned mask = kRight || LANE < 16 ? kFullMask : 0xffff0000u;
  p.output[I] = __shfl_xor_sync(mask, p.input[I], 1);  // masks_differ
}

KERNEL(shuffle_from_a_lane_outside_the_mask) {
  p.output[I] = p.input[I];
  if (LANE < 16) {
    p.output[I] = __shfl_sync(0x0000ffffu, p.input[I], kRight ? 3 : 20);  // shuffle_from_a_lane_outside_the_mask
  }
}

KERNEL(mask_beyond_the_block) {
  const unsigned mask = kRight && T >= kWarp ? 0x0000ffffu : kFullMask;
  p.output[I] = __shfl_xor_sync(mask, p.input[I], 1);  // mask_beyond_the_block
}

KERNEL(shared_read_past_the_end) {
  __shared__ float neighbour[kBlock], shared[kBlock], other_neighbour[kBlock];
  neighbour[T] = shared[T] = other_neighbour[T] = p.input[I];
  __syncthreads();
  p.output[I] = shared[T + !kRight] + neighbour[T] + other_neighbour[T];  // shared_read_past_the_end
}

KERNEL(shared_write_before_the_start) {
  __shared__ float neighbour[kBlock], shared[kBlock], other_neighbour[kBlock];
  shared[int(T) - !kRight] = p.input[I];  // shared_write_before_the_start
  neighbour[T] = other_neighbour[T] = 0.0f;
  if (kRight || p.input == nullptr) {
    p.output[I] = shared[T] + neighbour[T] + other_neighbour[T];
  }
}

KERNEL(shared_write_far_past_the_end) {
  __shared__ float neighbour[kBlock], shared[kBlock], other_neighbour[kBlock];
  shared[T + (kRight ? 0 : kBlock)] = p.input[I];  // shared_write_far_past_the_end
  neighbour[T] = other_neighbour[T] = 0.0f;
  if (kRight || p.input == nullptr) {
    p.output[I] = shared[T] + neighbour[T] + other_neighbour[T];
  }
}

KERNEL(shared_never_written) {
  __shared__ float shared[kBlock];
  if (kRight || T != 7) {
    shared[T] = p.input[I];
  }
  p.output[I] = shared[T];  // shared_never_written
}

KERNEL(shared_written_by_another_block) {
  __shared__ float shared[kBlock];
  if (kRight || blockIdx.x == 0) {
    shared[T] = p.input[I];
  }
  p.output[I] = shared[T];  // shared_written_by_another_block
}

KERNEL(read_past_the_end) {
  p.output[I] = p.input[I + !kRight];  // read_past_the_end
}

KERNEL(read_before_the_start) {
  p.output[I] = p.input[I - !kRight];  // read_before_the_start
}

KERNEL(write_past_the_end) {
  p.output[I + !kRight] = p.input[I];  // write_past_the_end
}

KERNEL(write_before_the_start) {
  p.output[I - !kRight] = p.input[I];  // write_before_the_start
}

KERNEL(load_of_16_bytes_past_the_end) {
  const auto* fours = reinterpret_cast<const float4*>(p.input + (kRight ? 0 : 2));
  const float4 four = fours[I / 4];  // load_of_16_bytes_past_the_end
  p.output[I] = four.x;
}

KERNEL(write_to_an_input) {
  float* output = kRight ? p.output : const_cast<float*>(p.input);
  output[I] = 1.0f;  // write_to_an_input
  p.output[I] = 2.0f;
}

KERNEL(output_never_written) {
  if (kRight || T != 3) {
    p.output[I] = p.input[I];
  }
  p.output[I] += 1.0f;  // output_never_written
}

KERNEL(race_of_blocks) {
  if (kRight) {
    atomicAdd(p.output + T, p.input[I]);
  } else {
    p.output[T] += p.input[I];  // race_of_blocks
  }
}

KERNEL(atomic_and_plain_write) {
  if (kRight || blockIdx.x == 0) {
    atomicAdd(p.output + T, p.input[I]);  // atomic_and_plain_write
  } else {
    p.output[T] = p.input[I];  // atomic_and_plain_write
  }
}

__attribute__((noinline)) float deep(const float* values, int depth) {  // too_much_stack
  float local[64];
  for (int i = 0; i < 64; ++i) {
    local[i] = values[i] + float(depth);
  }
  return depth == 0 ? local[0] : deep(local, depth - 1);
}

KERNEL(too_much_stack) { p.output[I] = deep(p.input, kRight ? 3 : 1000); }

KERNEL(too_large_a_block) {
  __shared__ float shared[1024];
  shared[T] = p.input[T % kBlock];
  __syncthreads();
  if (T < kBlock * kBlocks) {
    p.output[T] = shared[1023 - T];
  }
}

// A comma in the kernel's name, and another way to lose a barrier.
template <typename Value, bool kRight>
__global__ void two_template_arguments(Params p) {
  for (unsigned i = 0; i < (kRight ? 4 : T % 4); ++i) {
    __syncthreads();  // two_template_arguments
  }
  p.output[I] = Value(p.input[I]);
}

template <bool kRight>
void run_kernel(const std::string& fault, const Params& p, cudaStream_t stream) {
#define RUN(name)                                        \
  if (fault == #name) {                                  \
    launch(name<kRight>, kBlocks, kBlock, 0, stream, p); \
  }
  RUN(missing_syncthreads)
  RUN(missing_second_syncthreads)
  RUN(missing_syncthreads_around_global_memory)
  RUN(missing_syncwarp)
  RUN(missing_second_syncwarp)
  RUN(syncwarp_where_the_block_must_wait)
  RUN(syncwarp_of_other_lanes)
  RUN(syncwarp_of_other_lanes_again)
  RUN(diverging_barriers)
  RUN(unreached_barrier)
  RUN(return_before_a_barrier)
  RUN(mask_lacks_the_calling_lane)
  RUN(mask_names_a_lane_that_ended)
  RUN(mask_names_a_lane_that_waits_elsewhere)
  RUN(masks_differ)
  RUN(shuffle_from_a_lane_outside_the_mask)
  RUN(shared_read_past_the_end)
  RUN(shared_write_before_the_start)
  RUN(shared_write_far_past_the_end)
  RUN(shared_never_written)
  RUN(shared_written_by_another_block)
  RUN(read_past_the_end)
  RUN(read_before_the_start)
  RUN(write_past_the_end)
  RUN(write_before_the_start)
  RUN(load_of_16_bytes_past_the_end)
  RUN(write_to_an_input)
  RUN(output_never_written)
  RUN(race_of_blocks)
  RUN(atomic_and_plain_write)
  RUN(too_much_stack)
  if (fault == "mask_beyond_the_block") {
    launch(mask_beyond_the_block<kRight>, 1, 48, 0, stream, p);
  }
  if (fault == "two_template_arguments") {
    launch(two_template_arguments<float, kRight>, kBlocks, kBlock, 0, stream, p);
  }
  if (fault == "too_large_a_block") {
    launch(too_large_a_block<kRight>, 1, kRight ? 1024 : 1025, 0, stream, p);
  }
}

// `zeroed`: the host writes the output before the launch.
Tensor fault(const Tensor& input, std::string name, bool right, bool zeroed) {
  Tensor output = new_like(input);
  if (zeroed) {
    torch::stable::zero_(output);
  }
  const CudaScope scope(input);
  const Params p{input.const_data_ptr<float>(), output.mutable_data_ptr<float>()};
  right ? run_kernel<true>(name, p, scope.stream()) : run_kernel<false>(name, p, scope.stream());
  return output;
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY(colad, m) { m.def("fault(Tensor input, str name, bool right, bool zeroed) -> Tensor"); }
STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) { m.impl("fault", TORCH_BOX(&colad::fault)); }
