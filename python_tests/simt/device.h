// The state of the emulated device, which its files share.
#pragma once

#include <setjmp.h>

#include <memory>
#include <string>
#include <vector>

#include "simt.h"

namespace simt {

constexpr unsigned kMaxBlock = 1024, kWarp = 32;
constexpr unsigned kMostInFlight = 4;  // blocks

// A thread has read what `atomics` atomic operations made of a location (see releases.h).
struct Known {
  uint32_t location, atomics;
};

// The running thread, as the memory sees it. A phase is what a block does between two barriers: no two blocks share
// one, and they are counted on from launch to launch. `seen[i]`: how far this thread knows lane i of its warp to be.
struct Running {
  uint32_t phase, first_of_block, first_of_launch;
  uint32_t block, thread;
  uint32_t seen[kWarp];
  // What the fences that it knows of cover: all that its block did before a phase (0: there was no fence), and what the
  // lanes of its warp did up to a clock.
  uint32_t fenced_phase, fenced[kWarp];
  std::vector<Known> read, acquired;            // by atomic operations; those with a fence behind them
  bool waited;                                  // for the work ahead in the stream, where the launch does not
  uintptr_t stack_begin, stack_low, stack_end;  // below stack_low it has used more than a kernel should
};

enum class State { done, ready, at_barrier, in_warp };

// A thread takes a stack when it begins and gives it back when it ends.
struct Stack {
  jmp_buf context;
  uintptr_t begin, low, end;  // below `low` a thread has used more than a kernel should
  bool started = false;
};

struct Fiber {
  Stack* stack = nullptr;
  State state = State::done;
  Running running{};
  Where where;        // it waits here
  unsigned mask = 0;  // for these lanes
  Lanes received{};
  uint64_t deposit = 0;
};

// A place for a block in flight.
struct Block {
  Fiber fibers[kMaxBlock];
  std::vector<Fiber*> ready;
  unsigned done = 0;  // threads
  bool fences = false;
  std::shared_ptr<const std::vector<uint32_t>> fenced;  // of every thread, before the last barrier: up to this clock
};

// SplitMix64: the random numbers are a large part of the time of a launch.
struct Random {
  using result_type = uint32_t;
  uint64_t state = 0;

  static constexpr uint32_t min() { return 0; }
  static constexpr uint32_t max() { return UINT32_MAX; }
  uint32_t operator()() {
    uint64_t x = state += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return static_cast<uint32_t>(x >> 32);
  }
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(uint64_t((*this)()) * n >> 32); }
};

struct Device {
  Random random;
  Block blocks[kMostInFlight];
  unsigned place = 0;  // of the running block among `blocks`
  jmp_buf scheduler;
  Fiber* current = nullptr;
  const std::function<void()>* body = nullptr;
  std::string kernel, error;
  Dim grid, block;
  bool dependent = false, waited = false;  // the launch; whether any thread of it has waited
  uint32_t max_grid = 0;
  int card = 0;                      // where the launch runs
  uint32_t launches = 0, phase = 1;  // what the host wrote counts as phase 1
  uint64_t reads = 0;                // of global memory in this launch
  std::string log;                   // since the last call of an operator, a line each
};

extern Device device;

inline const Running& running() { return device.current->running; }

// Whether a kernel's own code runs. Only then is memory checked: of the standard library's inline functions, which this
// emulator calls too, the linker keeps the kernels' copy, which may be instrumented.
extern bool in_kernel;

// Fibers.
void forget_threads();  // after an error: those that have not ended are never resumed
void resume(Fiber& fiber);
void pause();  // gives the processor back to the scheduler
[[noreturn]] void stop(const std::string& message);

// Warps and barriers.
std::string at(Where where);
std::string error_of(const Fiber& fiber, const std::string& message);
void make_ready(Block& block, Fiber& fiber);
bool is_complete(const Block& block, const Fiber& fiber);  // whether all lanes that it waits for have come
void finish_collective(Block& block, Fiber& last);
void finish_barrier(Block& block);

// Shared memory: each place has its own contents, of which the running block's are at the addresses that kernels use.
void change_place(unsigned from, unsigned to);
void begin_block(unsigned place);

}  // namespace simt
