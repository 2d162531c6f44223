// A counter for is_last_block that is 0 when a launch starts, without a launch that clears it. The tests replace this
// header by one of the same name.
//
// Every stream has a counter of its own. The kernels of a stream run one after the other, and each sets the counter
// back to 0. A captured launch runs later, in any stream that replays the graph, so it gets memory of its own, which
// the graph clears.
#pragma once

#include <mutex>
#include <unordered_map>

#include "common/allocate.h"
#include "common/launch.cuh"

namespace colad {

// Streams with a counter. More of them would need memory as a captured launch does.
constexpr unsigned kTicketStreams = 1024;

// Zero when the library is loaded, on every device. Every file that includes this header has counters of its own.
static __device__ int32_t ticket_of_stream[kTicketStreams];

// The argument of a kernel.
struct Ticket {
  int32_t* memory;  // null: the counter of the stream
  unsigned stream;

  __device__ int32_t* counter() const { return memory != nullptr ? memory : ticket_of_stream + stream; }
};

// Keeps the ticket's memory until the launch. A launch with this ticket has to set the counter back to 0.
struct TicketHolder {
  Ticket ticket;
  std::optional<Tensor> memory;
};

// The number of a stream, from 0 on. The id of a stream is unique as long as the program runs, unlike its handle.
inline unsigned number_of_stream(cudaStream_t stream) {
  static std::mutex mutex;
  static std::unordered_map<unsigned long long, unsigned> numbers;
  unsigned long long id = 0;
  STD_CUDA_CHECK(cudaStreamGetId(stream, &id));
  const std::lock_guard lock(mutex);
  return numbers.try_emplace(id, static_cast<unsigned>(numbers.size())).first->second;
}

// `like` is a tensor on the device of the stream.
inline TicketHolder take_ticket(const Tensor& like, cudaStream_t stream) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  STD_CUDA_CHECK(cudaStreamIsCapturing(stream, &capture));
  if (capture == cudaStreamCaptureStatusNone) {
    if (const unsigned number = number_of_stream(stream); number < kTicketStreams) {
      return {{nullptr, number}, std::nullopt};
    }
  }
  const Tensor memory = new_tensor(like, {1}, ScalarType::Int);
  STD_CUDA_CHECK(cudaMemsetAsync(memory.data_ptr(), 0, sizeof(int32_t), stream));
  return {{static_cast<int32_t*>(memory.data_ptr()), 0}, memory};
}

}  // namespace colad
