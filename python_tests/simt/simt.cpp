// Launches, and which thread runs next: several blocks are in flight, and the seed chooses among their threads.
#include "simt.h"

#include <algorithm>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "card.h"
#include "device.h"
#include "releases.h"

namespace simt {

Device device;

namespace {

// One time in so many, another block goes on, and a thread that could go on lets others run.
constexpr unsigned kChangeBlock = 8, kYield = 4;

void start_block(unsigned place, unsigned index, uint32_t first_of_launch) {
  Block& block = device.blocks[place];
  block.ready.clear();
  block.done = 0;
  block.fences = false;
  block.fenced = nullptr;
  ++device.phase;
  for (unsigned i = 0; i < device.block.x; ++i) {
    Running& running = block.fibers[i].running;
    running.phase = running.first_of_block = device.phase;
    running.first_of_launch = first_of_launch;
    running.block = index, running.thread = i;
    std::fill_n(running.seen, kWarp, 0);
    running.seen[i % kWarp] = 1;
    if (running.fenced_phase != 0) {
      running.fenced_phase = 0;
      std::fill_n(running.fenced, kWarp, 0);
    }
    running.read.clear(), running.acquired.clear();
    running.waited = !device.dependent;
    make_ready(block, block.fibers[i]);
  }
  begin_block(place);
}

// Runs one thread of the block to the next point where it waits.
void step(Block& block) {
  if (block.ready.empty()) {
    finish_barrier(block);
  }
  std::swap(block.ready[device.random.below(block.ready.size())], block.ready.back());
  Fiber& fiber = *block.ready.back();
  block.ready.pop_back();
  resume(fiber);
  if (!device.error.empty()) {
    throw std::runtime_error(device.error);
  }
  block.done += fiber.state == State::done;
  if (fiber.state == State::ready) {  // it yielded
    block.ready.push_back(&fiber);
  } else if (fiber.state == State::in_warp && is_complete(block, fiber)) {
    finish_collective(block, fiber);
  }
}

void run_blocks() {
  std::vector<unsigned> waiting(device.grid.x), in_flight;  // blocks that wait for a place, places
  std::iota(waiting.begin(), waiting.end(), 0);
  std::shuffle(waiting.begin(), waiting.end(), device.random);
  const uint32_t first_of_launch = device.phase + 1;
  const auto next_block = [&](unsigned place) {
    start_block(place, waiting.back(), first_of_launch);
    waiting.pop_back();
  };
  const size_t most = 1 + device.random.below(kMostInFlight);
  while (in_flight.size() < most && !waiting.empty()) {
    in_flight.push_back(unsigned(in_flight.size()));
    next_block(in_flight.back());
  }
  size_t chosen = 0;
  while (!in_flight.empty()) {
    if (in_flight.size() > 1 && device.random.below(kChangeBlock) == 0) {
      chosen = device.random.below(in_flight.size());
    }
    const unsigned place = in_flight[chosen];
    if (place != device.place) {
      change_place(device.place, place);
      device.place = place;
    }
    Block& block = device.blocks[place];
    step(block);
    if (block.done == device.block.x && !waiting.empty()) {
      next_block(place);
    } else if (block.done == device.block.x) {
      in_flight.erase(in_flight.begin() + chosen);
      chosen = 0;
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

Dim thread_index() { return {running().thread, 0, 0}; }
Dim block_index() { return {running().block, 0, 0}; }
Dim block_size() { return device.block; }
Dim grid_size() { return device.grid; }
int lane() { return running().thread % kWarp; }
int64_t max_grid() { return device.max_grid; }

void run(const char* launch, Dim grid, Dim block, void* stream, bool dependent, const std::function<void()>& thread) {
  device.kernel = first_argument(launch);
  if (grid.x == 0 || block.x == 0 || block.x > kMaxBlock) {
    throw std::runtime_error("kernel " + device.kernel + ": " + std::to_string(grid.x) + " blocks of " +
                             std::to_string(block.x) + " threads cannot be launched");
  }
  device.grid = grid;
  device.block = block;
  device.dependent = dependent;
  device.waited = false;
  device.body = &thread;
  device.error.clear();
  device.reads = 0;
  ++device.launches;
  device.card = card.current_device();
  record("launch\t" + device.kernel + '\t' + std::to_string(device.card) + '\t' +
         std::to_string(reinterpret_cast<uintptr_t>(stream)));
  forget_releases();
  const CardUnlocked unlocked;
  try {
    run_blocks();
  } catch (...) {
    forget_threads();
    throw;
  }
  if (dependent && !device.waited) {
    throw std::runtime_error(
        "kernel " + device.kernel +
        ": no thread waits for the work ahead in the stream, so the work after it may overtake it");
  }
  record("reads\t" + device.kernel + '\t' + std::to_string(device.reads));
}

void record(const std::string& event) { device.log += event + '\n'; }

void yield() {
  if (device.random.below(kYield) == 0) {
    pause();  // its state stays `ready`
    in_kernel = true;
  }
}

void wait_for_earlier_work() { device.current->running.waited = device.waited = true; }

void fail(const char* message, Where where) {
  in_kernel = false;
  stop(message + at(where));
}

void fail_at(const std::string& message, const void* pc) {
  in_kernel = false;
  std::ostringstream out;
  out << message << " at pc " << pc;
  stop(out.str());
}

}  // namespace simt

#pragma GCC visibility push(default)
extern "C" void simt_begin(unsigned seed, unsigned max_grid) {
  simt::device.random.state = seed;
  simt::device.max_grid = max_grid;
  simt::device.log.clear();
}
extern "C" const char* simt_log() { return simt::device.log.c_str(); }
extern "C" unsigned simt_launches() { return simt::device.launches; }
