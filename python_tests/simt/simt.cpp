// Fibers, barriers and warps. Compiled without the instrumentation that the kernels have.
#include "simt.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace simt {
namespace {

constexpr size_t kStack = 64 << 10;
constexpr int kWarp = 32;

enum class State { ready, at_barrier, in_warp, done };

struct Fiber {
  ucontext_t context;
  State state = State::ready;
  Identity identity{};
  unsigned mask = 0;
  uint64_t deposit = 0;
  Lanes received{};
  Where where = Where::current();
};

struct Device {
  std::mt19937 random{0};
  std::vector<char*> stacks;
  std::vector<Fiber> fibers;
  ucontext_t scheduler;
  Fiber* current = nullptr;
  const std::function<void()>* body = nullptr;
  const char* kernel = "";
  Dim grid, block, block_index;
  uint32_t launches = 0, blocks_run = 0;
  std::string error;

  char* stack(size_t i) {
    while (stacks.size() <= i) {
      void* memory = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      stacks.push_back(static_cast<char*>(memory));
    }
    return stacks[i];
  }
};

Device device;

std::string at(Where where) {
  std::ostringstream out;
  out << where.file_name() << ":" << where.line() << " (" << where.function_name() << ")";
  return out.str();
}

void enter() {
  (*device.body)();
  device.current->state = State::done;
  swapcontext(&device.current->context, &device.scheduler);
}

// Gives the processor back until this thread may go on.
void wait(State state, Where where) {
  Fiber* self = device.current;
  self->state = state;
  self->where = where;
  swapcontext(&self->context, &device.scheduler);
}

[[noreturn]] void stop(const std::string& message) {
  std::ostringstream out;
  const Identity& id = device.current->identity;
  out << "kernel " << device.kernel << ", block " << id.block << ", thread " << id.thread << ": " << message;
  device.error = out.str();
  swapcontext(&device.current->context, &device.scheduler);
  std::abort();  // never resumed
}

// Completes the collective operation of a warp when every lane of the mask has come to it.
void finish_collective(size_t warp) {
  const auto begin = device.fibers.begin() + warp * kWarp;
  const auto end = begin + std::min<size_t>(kWarp, device.fibers.end() - begin);
  for (auto asking = begin; asking != end; ++asking) {
    if (asking->state != State::in_warp) {
      continue;
    }
    Lanes lanes{};
    lanes.mask = asking->mask;
    bool complete = true;
    for (int lane = 0; lane < end - begin; ++lane) {
      const Fiber& other = begin[lane];
      const bool named = asking->mask >> lane & 1;
      const bool came = other.state == State::in_warp && other.mask == asking->mask &&
                        other.where.line() == asking->where.line() &&
                        std::strcmp(other.where.file_name(), asking->where.file_name()) == 0;
      complete &= !named || came;
      lanes.bits[lane] = other.deposit;
    }
    if (complete) {
      for (int lane = 0; lane < end - begin; ++lane) {
        if (asking->mask >> lane & 1) {
          begin[lane].received = lanes;
          ++begin[lane].identity.warp_epoch;
        }
      }
      const unsigned mask = asking->mask;
      for (int lane = 0; lane < end - begin; ++lane) {
        if (mask >> lane & 1) {
          begin[lane].state = State::ready;
        }
      }
      return;
    }
  }
}

// No thread can go on: either all wait at one barrier, or something is wrong.
void finish_barrier() {
  const auto waiting = [](const Fiber& f) { return f.state == State::at_barrier; };
  const auto first = std::find_if(device.fibers.begin(), device.fibers.end(), waiting);
  const auto stuck = std::find_if(device.fibers.begin(), device.fibers.end(),
                                  [](const Fiber& f) { return f.state == State::in_warp; });
  if (stuck != device.fibers.end()) {
    device.current = &*stuck;
    throw std::runtime_error("kernel " + std::string(device.kernel) + ": lanes named in a mask never come to " +
                             at(stuck->where));
  }
  for (const Fiber& fiber : device.fibers) {
    if (fiber.state == State::done) {
      throw std::runtime_error("kernel " + std::string(device.kernel) + ": thread " +
                               std::to_string(fiber.identity.thread) + " never reaches the barrier at " +
                               at(first->where));
    }
    if (fiber.where.line() != first->where.line()) {
      throw std::runtime_error("kernel " + std::string(device.kernel) + ": threads diverge between the barriers at " +
                               at(first->where) + " and " + at(fiber.where));
    }
  }
  for (Fiber& fiber : device.fibers) {
    fiber.state = State::ready;
    ++fiber.identity.block_epoch;
  }
}

void run_block() {
  const unsigned threads = device.block.x;
  device.fibers.assign(threads, Fiber{});
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& fiber = device.fibers[i];
    char* stack = device.stack(i);
    const auto address = reinterpret_cast<uintptr_t>(stack);
    fiber.identity = {device.launches, device.block_index.x, i, 0, 0, address, address + kStack};
    getcontext(&fiber.context);
    fiber.context.uc_stack = {stack, 0, kStack};
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
  std::vector<unsigned> ready;
  while (true) {
    ready.clear();
    unsigned done = 0;
    for (unsigned i = 0; i < threads; ++i) {
      if (device.fibers[i].state == State::ready) {
        ready.push_back(i);
      }
      done += device.fibers[i].state == State::done;
    }
    if (done == threads) {
      return;
    }
    if (ready.empty()) {
      finish_barrier();
      continue;
    }
    std::shuffle(ready.begin(), ready.end(), device.random);
    for (unsigned i : ready) {
      device.current = &device.fibers[i];
      swapcontext(&device.scheduler, &device.current->context);
      if (!device.error.empty()) {
        throw std::runtime_error(device.error);
      }
      finish_collective(i / kWarp);
    }
  }
}

}  // namespace

Dim thread_index() { return {device.current->identity.thread, 0, 0}; }
Dim block_index() { return device.block_index; }
Dim block_size() { return device.block; }
Dim grid_size() { return device.grid; }
int lane() { return device.current->identity.thread % kWarp; }
const Identity* running() { return device.current == nullptr ? nullptr : &device.current->identity; }

void run(const char* kernel, Dim grid, Dim block, const std::function<void()>& thread) {
  device.kernel = kernel;
  device.grid = grid;
  device.block = block;
  device.body = &thread;
  device.error.clear();
  ++device.launches;
  std::vector<unsigned> blocks(grid.x);
  for (unsigned i = 0; i < grid.x; ++i) {
    blocks[i] = i;
  }
  std::shuffle(blocks.begin(), blocks.end(), device.random);
  struct Host {
    ~Host() { device.current = nullptr; }
  } back_to_host;
  for (unsigned i : blocks) {
    device.block_index = {i, 0, 0};
    run_block();
  }
}

void sync_block(Where where) { wait(State::at_barrier, where); }

Lanes collect(uint64_t bits, unsigned mask, Where where) {
  Fiber* self = device.current;
  if (!(mask >> lane() & 1)) {
    fail("a lane calls with a mask that does not name it", where);
  }
  self->mask = mask;
  self->deposit = bits;
  wait(State::in_warp, where);
  return self->received;
}

void fail(const std::string& message, Where where) { stop(message + " at " + at(where)); }

void fail_at(const std::string& message, const void* pc) {
  std::ostringstream out;
  out << message << " at pc " << pc;
  stop(out.str());
}

}  // namespace simt

#pragma GCC visibility push(default)
extern "C" void simt_seed(unsigned seed) { simt::device.random.seed(seed); }
extern "C" unsigned simt_launches() { return simt::device.launches; }
