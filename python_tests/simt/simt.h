// A CUDA device played by the CPU, for tests: every CUDA thread is a fiber, a block's threads run in a random order
// from barrier to barrier, and every access to memory is checked.
#pragma once

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
void run(const char* launch, Dim grid, Dim block, const std::function<void()>& thread);

// Barriers, and what all lanes of a warp's `mask` contribute (index: lane).
struct Lanes {
  uint64_t bits[32];
  unsigned mask;
};
void sync_block(Where where);
Lanes collect(uint64_t bits, unsigned mask, Where where);

// Ends the running thread with an error.
[[noreturn]] void fail(const char* message, Where where);
[[noreturn]] void fail_at(const std::string& message, const void* pc);

// Memory: `hand_over` makes a range accessible to the kernels that follow, until `forget`. Inputs and arguments can
// only be read. Scratch and shared memory cannot be read before it is written; of scratch, the host may have done that:
// then it does not hold the poison any more.
enum class Origin { input, arguments, copy, scratch, shared };
void hand_over(const void* data, size_t bytes, Origin origin);
void forget(Origin origin);

enum class Access { read, write, atomic };
void touch(const void* address, size_t bytes, Access access, const void* pc);

// The running thread, as the memory sees it. A phase is what a block does between two barriers: no two blocks share
// one, and they are counted on from launch to launch. `seen[i]`: how far this thread knows lane i of its warp to be.
struct Running {
  uint32_t phase, first_of_block, first_of_launch;
  uint32_t block, thread;
  uint32_t seen[32];
  uintptr_t stack_begin, stack_low, stack_end;  // below stack_low it has used more than a kernel should
};
const Running* running();

// Whether a kernel's own code runs. Only then is memory checked: of the standard library's inline functions, which this
// emulator calls too, the linker keeps the kernels' copy, which may be instrumented.
extern bool in_kernel;

}  // namespace simt
