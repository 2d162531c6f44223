// A CUDA device played by the CPU, for tests: every CUDA thread is a fiber, several blocks are in flight at a time, a
// block's threads run in a random order from barrier to barrier, and every access to memory is checked. This header has
// what the headers in include/ need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

namespace simt {

using Where = std::source_location;

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

// What the running thread knows.
Dim thread_index();
Dim block_index();
Dim block_size();
Dim grid_size();
int lane();

// Runs `thread` once for every thread of every block; throws std::runtime_error naming the kernel and the line when a
// barrier, a collective operation of a warp or an access to memory is wrong. `launch`: the kernel's name, then a comma.
// `dependent`: it may start before the work ahead of it in the stream has ended.
void run(const char* launch, Dim grid, Dim block, bool dependent, const std::function<void()>& thread);

// Barriers, and what all lanes of a warp's `mask` contribute (index: lane).
struct Lanes {
  uint64_t bits[32];
  unsigned mask;
};
void sync_block(Where where);
Lanes collect(uint64_t bits, unsigned mask, Where where);

// __threadfence() and cudaGridDependencySynchronize().
void fence();
void wait_for_earlier_work();

// Lets other threads run, or not.
void yield();

// Ends the running thread with an error.
[[noreturn]] void fail(const char* message, Where where);
[[noreturn]] void fail_at(const std::string& message, const void* pc);

// Memory: `hand_over` makes a range accessible to the kernels that follow, until `forget`. Inputs and arguments can
// only be read. Scratch and shared memory cannot be read before it is written; of scratch, the host may have done that:
// then it does not hold the poison any more.
enum class Origin { input, arguments, copy, scratch, shared };
void hand_over(const void* data, size_t bytes, Origin origin);
void forget(Origin origin);

// A fresh read goes past the caches that other multiprocessors do not see: a volatile read, __ldcg.
enum class Access { read, fresh_read, write, atomic };
void touch(const void* address, size_t bytes, Access access, const void* pc);

}  // namespace simt
