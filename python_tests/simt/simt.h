// A CUDA device played by the CPU, for tests: every CUDA thread is a fiber, a block runs to its barriers in a random
// order of its threads, and every access to memory is checked.
#pragma once

#include <bit>
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

// Runs `thread` once for every thread of every block; throws std::runtime_error naming the kernel and the line when a
// barrier, a collective operation of a warp or an access to memory is wrong.
void run(const char* kernel, Dim grid, Dim block, const std::function<void()>& thread);

// Barriers, and what all lanes of a warp's `mask` contribute (index: lane).
struct Lanes {
  uint64_t bits[32];
  unsigned mask;
};
void sync_block(Where where);
Lanes collect(uint64_t bits, unsigned mask, Where where);
int lane();

// Ends the running thread with an error.
[[noreturn]] void fail(const std::string& message, Where where);

// Memory: `hand_over` makes a range accessible to the kernels that follow, until `forget`. What nobody wrote may not be
// read, except that the host may have written it: then it does not hold the poison any more.
enum class Origin { tensor, scratch, arguments, shared };
void hand_over(const void* data, size_t bytes, Origin origin);
void forget(Origin origin);
void poison(void* data, size_t bytes);

enum class Access { read, write, atomic };
void touch(const void* address, size_t bytes, Access access, const void* pc);

// The running thread, as the memory sees it.
struct Identity {
  uint32_t launch, block, thread;           // block of the grid, thread of the block
  uint32_t block_epoch, warp_epoch;         // barriers passed
  uintptr_t stack_begin, stack_end;
};
const Identity* running();  // null on the host
[[noreturn]] void fail_at(const std::string& message, const void* pc);

}  // namespace simt
