// Where threads meet: collective operations of a warp, and barriers of a block.
#include <algorithm>
#include <cstring>
#include <span>
#include <sstream>
#include <stdexcept>

#include "device.h"
#include "releases.h"

namespace simt {
namespace {

bool same(Where a, Where b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

// Gives the processor back until this thread may go on.
void wait(State state, Where where) {
  device.current->state = state;
  device.current->where = where;
  pause();
  in_kernel = true;
}

// The first lane of the fiber's mask that is not where it waits, or null.
const Fiber* missing_lane(const Block& block, const Fiber& fiber) {
  const Fiber* const warp = block.fibers + fiber.running.thread / kWarp * kWarp;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    const Fiber& other = warp[lane];
    if (fiber.mask >> lane & 1 &&
        (other.state != State::in_warp || other.mask != fiber.mask || !same(other.where, fiber.where))) {
      return &other;
    }
  }
  return nullptr;
}

}  // namespace

std::string at(Where where) {
  std::ostringstream out;
  out << " at " << where.file_name() << ":" << where.line() << " (" << where.function_name() << ")";
  return out.str();
}

std::string error_of(const Fiber& fiber, const std::string& message) {
  std::ostringstream out;
  out << "kernel " << device.kernel << ", block " << fiber.running.block << ", thread " << fiber.running.thread << ": "
      << message;
  return out.str();
}

void make_ready(Block& block, Fiber& fiber) {
  fiber.state = State::ready;
  block.ready.push_back(&fiber);
}

bool is_complete(const Block& block, const Fiber& fiber) { return missing_lane(block, fiber) == nullptr; }

// Every lane of the mask has come: they learn each other's values, and what each knew.
void finish_collective(Block& block, Fiber& last) {
  Fiber* const warp = block.fibers + last.running.thread / kWarp * kWarp;
  Lanes lanes{};
  lanes.mask = last.mask;
  uint32_t seen[kWarp] = {};
  bool waited = false;
  std::vector<Running*> met;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (lanes.mask >> lane & 1) {
      Fiber& fiber = warp[lane];
      lanes.bits[lane] = fiber.deposit;
      std::transform(seen, seen + kWarp, fiber.running.seen, seen, [](auto a, auto b) { return std::max(a, b); });
      waited |= fiber.running.waited;
      met.push_back(&fiber.running);
    }
  }
  if (block.fences) {
    share_in_warp(met);
  }
  for (Running* running : met) {
    const unsigned lane = running->thread % kWarp;
    warp[lane].received = lanes;
    std::copy(seen, seen + kWarp, running->seen);
    ++running->seen[lane];
    running->waited = waited;
    make_ready(block, warp[lane]);
  }
}

// No thread of the block can go on: either all wait at one barrier, or something is wrong.
void finish_barrier(Block& block) {
  const std::span<Fiber> fibers(block.fibers, device.block.x);
  const Fiber* first = nullptr;
  for (Fiber& fiber : fibers) {
    if (fiber.state == State::in_warp) {
      const Fiber& other = *missing_lane(block, fiber);
      throw std::runtime_error(error_of(fiber, "lane " + std::to_string(other.running.thread % kWarp) +
                                                   ", which the mask names, " +
                                                   (other.state == State::done ? "ended" : "waits" + at(other.where)) +
                                                   " and never comes to the operation" + at(fiber.where)));
    }
    first = fiber.state == State::at_barrier && first == nullptr ? &fiber : first;
  }
  bool waited = false;
  for (Fiber& fiber : fibers) {
    if (fiber.state == State::done) {
      throw std::runtime_error(error_of(fiber, "never reaches the barrier" + at(first->where)));
    }
    if (!same(fiber.where, first->where)) {
      throw std::runtime_error(
          error_of(fiber, "threads diverge between the barriers" + at(first->where) + " and" + at(fiber.where)));
    }
    waited |= fiber.running.waited;
  }
  if (block.fences) {
    share_in_block(block);
  }
  ++device.phase;
  for (Fiber& fiber : fibers) {
    fiber.running.phase = device.phase;
    fiber.running.waited = waited;
    make_ready(block, fiber);
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

}  // namespace simt
