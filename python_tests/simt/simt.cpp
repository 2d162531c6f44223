// Fibers, barriers and warps. Compiled without the instrumentation that the kernels have.
#include "simt.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <span>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace simt {
namespace {

constexpr unsigned kMaxBlock = 1024, kWarp = 32;
// What a kernel may use of its stack, which is far more than it should; what is there, so that going over can still be
// told (untouched pages cost nothing); and a page below that stops what goes further.
constexpr size_t kStackUse = 64 << 10, kStack = 1 << 20, kGuard = 64 << 10;

enum class State { done, ready, at_barrier, in_warp };

struct Fiber {
  jmp_buf context;
  bool started = false;
  State state = State::done;
  Running running{};
  Where where;        // it waits here
  unsigned mask = 0;  // for these lanes
  Lanes received{};
  uint64_t deposit = 0;
};

struct Device {
  std::mt19937 random{0};
  Fiber fibers[kMaxBlock];
  jmp_buf scheduler;
  std::vector<Fiber*> ready;
  Fiber* current = nullptr;
  const std::function<void()>* body = nullptr;
  std::string kernel, error;
  Dim grid, block, block_index;
  uint32_t launches = 0, phase = 0;
  std::string launched;  // names of kernels since the last seed, a line each
};

Device device;

// Without the system calls of swapcontext, which saves the signal mask as well.
__attribute__((noinline)) void switch_to(jmp_buf& from, jmp_buf& to) {
  if (_setjmp(from) == 0) {
    _longjmp(to, 1);
  }
}

void run_threads() {
  while (true) {
    in_kernel = true;
    (*device.body)();
    in_kernel = false;
    device.current->state = State::done;
    switch_to(device.current->context, device.scheduler);
  }
}

__attribute__((noinline)) void start(Fiber& fiber) {
  if (fiber.running.stack_end == 0) {
    void* memory = mmap(nullptr, kGuard + kStack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(static_cast<char*>(memory) + kGuard, kStack, PROT_READ | PROT_WRITE) != 0) {
      throw std::runtime_error("no memory for the stack of a thread");
    }
    const uintptr_t end = reinterpret_cast<uintptr_t>(memory) + kGuard + kStack;
    fiber.running.stack_begin = end - kStack, fiber.running.stack_low = end - kStackUse, fiber.running.stack_end = end;
  }
  ucontext_t context;
  getcontext(&context);
  context.uc_stack = {reinterpret_cast<void*>(fiber.running.stack_begin), 0, kStack};
  makecontext(&context, run_threads, 0);
  fiber.started = true;
  if (_setjmp(device.scheduler) == 0) {
    setcontext(&context);
  }
}

std::string at(Where where) {
  std::ostringstream out;
  out << " at " << where.file_name() << ":" << where.line() << " (" << where.function_name() << ")";
  return out.str();
}

bool same(Where a, Where b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string error_of(const Fiber& fiber, const std::string& message) {
  std::ostringstream out;
  out << "kernel " << device.kernel << ", block " << fiber.running.block << ", thread " << fiber.running.thread << ": "
      << message;
  return out.str();
}

// Gives the processor back until this thread may go on.
void wait(State state, Where where) {
  in_kernel = false;
  device.current->state = state;
  device.current->where = where;
  switch_to(device.current->context, device.scheduler);
  in_kernel = true;
}

[[noreturn]] void stop(const std::string& message) {
  in_kernel = false;
  device.error = error_of(*device.current, message);
  switch_to(device.current->context, device.scheduler);
  std::abort();  // never resumed
}

void make_ready(Fiber& fiber) {
  fiber.state = State::ready;
  device.ready.push_back(&fiber);
}

Fiber* warp_of(const Fiber& fiber) { return device.fibers + fiber.running.thread / kWarp * kWarp; }

// The first lane of the fiber's mask that is not where it waits, or null.
Fiber* missing_lane(const Fiber& fiber) {
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    Fiber& other = warp_of(fiber)[lane];
    if (fiber.mask >> lane & 1 &&
        (other.state != State::in_warp || other.mask != fiber.mask || !same(other.where, fiber.where))) {
      return &other;
    }
  }
  return nullptr;
}

// Every lane of the mask has come: they learn each other's values, and what each knew of the warp.
void finish_collective(Fiber& last) {
  Fiber* const warp = warp_of(last);
  Lanes lanes{};
  lanes.mask = last.mask;
  uint32_t seen[kWarp] = {};
  const auto for_each_lane = [&](auto function) {
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if (lanes.mask >> lane & 1) {
        function(lane, warp[lane]);
      }
    }
  };
  for_each_lane([&](unsigned lane, Fiber& fiber) {
    lanes.bits[lane] = fiber.deposit;
    std::transform(seen, seen + kWarp, fiber.running.seen, seen, [](uint32_t a, uint32_t b) { return std::max(a, b); });
  });
  for_each_lane([&](unsigned lane, Fiber& fiber) {
    fiber.received = lanes;
    std::copy(seen, seen + kWarp, fiber.running.seen);
    ++fiber.running.seen[lane];
    make_ready(fiber);
  });
}

// No thread can go on: either all wait at one barrier, or something is wrong.
void finish_barrier() {
  const Fiber* first = nullptr;
  for (Fiber& fiber : std::span(device.fibers, device.block.x)) {
    if (fiber.state == State::in_warp) {
      const Fiber& other = *missing_lane(fiber);
      throw std::runtime_error(error_of(fiber, "lane " + std::to_string(other.running.thread % kWarp) +
                                                   ", which the mask names, " +
                                                   (other.state == State::done ? "ended" : "waits" + at(other.where)) +
                                                   " and never comes to the operation" + at(fiber.where)));
    }
    first = fiber.state == State::at_barrier && first == nullptr ? &fiber : first;
  }
  for (Fiber& fiber : std::span(device.fibers, device.block.x)) {
    if (fiber.state == State::done) {
      throw std::runtime_error(error_of(fiber, "never reaches the barrier" + at(first->where)));
    }
    if (!same(fiber.where, first->where)) {
      throw std::runtime_error(
          error_of(fiber, "threads diverge between the barriers" + at(first->where) + " and" + at(fiber.where)));
    }
  }
  ++device.phase;
  for (Fiber& fiber : std::span(device.fibers, device.block.x)) {
    fiber.running.phase = device.phase;
    make_ready(fiber);
  }
}

void run_block(uint32_t first_of_launch) {
  ++device.phase;
  for (unsigned i = 0; i < device.block.x; ++i) {
    Running& running = device.fibers[i].running;
    running.phase = running.first_of_block = device.phase;
    running.first_of_launch = first_of_launch;
    running.block = device.block_index.x, running.thread = i;
    std::fill_n(running.seen, kWarp, 0);
    running.seen[i % kWarp] = 1;
    make_ready(device.fibers[i]);
  }
  unsigned done = 0;
  while (done < device.block.x) {
    if (device.ready.empty()) {
      finish_barrier();
    }
    std::swap(device.ready[device.random() % device.ready.size()], device.ready.back());
    Fiber& fiber = *device.ready.back();
    device.ready.pop_back();
    device.current = &fiber;
    fiber.started ? switch_to(device.scheduler, fiber.context) : start(fiber);
    if (!device.error.empty()) {
      throw std::runtime_error(device.error);
    }
    done += fiber.state == State::done;
    if (fiber.state == State::in_warp && missing_lane(fiber) == nullptr) {
      finish_collective(fiber);
    }
  }
}

// What stands before the first comma that no bracket encloses.
std::string first_argument(const char* text) {
  int depth = 0;
  const char* end = text;
  for (; *end != 0 && (*end != ',' || depth > 0); ++end) {
    depth += (*end == '<' || *end == '(') - (*end == '>' || *end == ')');
  }
  return {text, end};
}

}  // namespace

bool in_kernel = false;

Dim thread_index() { return {device.current->running.thread, 0, 0}; }
Dim block_index() { return device.block_index; }
Dim block_size() { return device.block; }
Dim grid_size() { return device.grid; }
int lane() { return device.current->running.thread % kWarp; }
const Running* running() { return &device.current->running; }

void run(const char* launch, Dim grid, Dim block, const std::function<void()>& thread) {
  device.kernel = first_argument(launch);
  if (grid.x == 0 || block.x == 0 || block.x > kMaxBlock) {
    throw std::runtime_error("kernel " + device.kernel + ": " + std::to_string(grid.x) + " blocks of " +
                             std::to_string(block.x) + " threads cannot be launched");
  }
  device.grid = grid;
  device.block = block;
  device.body = &thread;
  device.error.clear();
  device.ready.clear();
  ++device.launches;
  device.launched += device.kernel + '\n';
  struct Host {
    ~Host() {
      for (Fiber& fiber : device.fibers) {
        fiber.started &= fiber.state == State::done;  // after an error, never to be resumed
        fiber.state = State::done;
      }
    }
  } back_to_host;
  std::vector<unsigned> blocks(grid.x);
  std::iota(blocks.begin(), blocks.end(), 0);
  std::shuffle(blocks.begin(), blocks.end(), device.random);
  const uint32_t first_phase = device.phase + 1;
  for (unsigned i : blocks) {
    device.block_index = {i, 0, 0};
    run_block(first_phase);
  }
}

void sync_block(Where where) { wait(State::at_barrier, where); }

Lanes collect(uint64_t bits, unsigned mask, Where where) {
  Fiber& self = *device.current;
  const unsigned lanes = std::min(kWarp, device.block.x - self.running.thread / kWarp * kWarp);
  if (!(mask >> lane() & 1)) {
    fail("calls with a mask that does not name its lane", where);
  }
  if (lanes < kWarp && mask >> lanes != 0) {
    fail("calls with a mask that names lanes beyond the end of the block", where);
  }
  self.mask = mask;
  self.deposit = bits;
  wait(State::in_warp, where);
  return self.received;
}

void fail(const char* message, Where where) {
  in_kernel = false;
  stop(message + at(where));
}

void fail_at(const std::string& message, const void* pc) {
  std::ostringstream out;
  out << message << " at pc " << pc;
  stop(out.str());
}

}  // namespace simt

#pragma GCC visibility push(default)
extern "C" void simt_seed(unsigned seed) {
  simt::device.random.seed(seed);
  simt::device.launched.clear();
}
extern "C" const char* simt_launched() { return simt::device.launched.c_str(); }
extern "C" unsigned simt_launches() { return simt::device.launches; }
