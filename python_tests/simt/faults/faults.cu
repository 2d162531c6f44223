// The kernels with faults as one operator, fault.
#include <torch/csrc/stable/library.h>

#include <string>

#include "barriers.cuh"
#include "blocks.cuh"
#include "common/allocate.h"
#include "memory.cuh"

namespace colad {
namespace {

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
  RUN(misaligned_load)
  RUN(write_to_an_input)
  RUN(output_never_written)
  RUN(race_of_blocks)
  RUN(atomic_and_plain_write)
  RUN(plain_read_after_atomics)
  RUN(too_much_stack)
  RUN(no_fence_before_the_ticket)
  RUN(no_barrier_before_the_ticket)
  RUN(fence_of_one_thread_before_the_barrier)
  RUN(ticket_not_atomic)
  RUN(no_barrier_after_the_ticket)
  RUN(no_fence_after_the_ticket)
  RUN(plain_load_after_the_ticket)
  RUN(counter_reset_by_a_block_that_is_not_last)
  RUN(no_fence_before_the_ticket_of_a_warp)
  RUN(no_syncwarp_before_the_ticket_of_a_warp)
  RUN(no_fence_after_the_ticket_of_a_warp)
  if (fault == "no_fence_between_two_tickets") {
    launch(no_fence_between_two_tickets<kRight>, 4, kWarp, 0, stream, p);
  }
  if (fault == "read_before_waiting_for_the_launch_before") {
    launch_dependent(read_before_waiting_for_the_launch_before<kRight>, kBlocks, kBlock, 0, stream, p);
  }
  if (fault == "no_wait_for_the_launch_before") {
    launch_dependent(no_wait_for_the_launch_before<kRight>, kBlocks, kBlock, 0, stream, p);
  }
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

template <bool kRight>
void run_with_scratch(const std::string& fault, const Params& p, const Tensor& input, cudaStream_t stream) {
  if (fault == "scratch_write_into_the_next_array") {
    float *scratch = nullptr, *next = nullptr;
    const auto memory = new_scratch(input, Room{scratch, input.numel()}, Room{next, input.numel()});
    launch(scratch_write_into_the_next_array<kRight>, kBlocks, kBlock, 0, stream, p, scratch, next);
  }
}

// `zeroed`: the host writes the output before the launch.
Tensor fault(const Tensor& input, std::string name, bool right, bool zeroed) {
  Tensor output = new_like(input);
  if (zeroed) {
    torch::stable::zero_(output);
  }
  const CudaScope scope(input);
  Tensor counters = new_tensor(input, {4}, ScalarType::Int);
  torch::stable::zero_(counters);
  const Params p{input.const_data_ptr<float>(), output.mutable_data_ptr<float>(), counters.mutable_data_ptr<int>()};
  right ? run_kernel<true>(name, p, scope.stream()) : run_kernel<false>(name, p, scope.stream());
  right ? run_with_scratch<true>(name, p, input, scope.stream())
        : run_with_scratch<false>(name, p, input, scope.stream());
  return output;
}

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY(colad, m) { m.def("fault(Tensor input, str name, bool right, bool zeroed) -> Tensor"); }
STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) { m.impl("fault", TORCH_BOX(&colad::fault)); }
