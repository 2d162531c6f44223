// Who may read and write what.
#include "device.h"
#include "ranges.h"
#include "releases.h"

namespace simt {
namespace {

const char* name_of(Access access) {
  return access == Access::write ? "writes " : access == Access::atomic ? "changes " : "reads ";
}

// Whether everything the other thread of this block did before is visible to this one: a barrier lies between.
bool is_ordered_in_block(const Trace& before, const Running& now) {
  return before.thread == now.thread || before.phase != now.phase ||
         (before.thread / kWarp == now.thread / kWarp && now.seen[before.thread % kWarp] >= before.clock);
}

// How far from the running thread an access was, 0 where nothing need lie between.
int distance(const Trace& before, const Running& now) {
  if (before.block != now.block) {
    return before.phase >= now.first_of_launch ? 3 : 0;
  }
  return before.phase != now.phase ? 0 : before.thread / kWarp != now.thread / kWarp ? 2 : before.thread != now.thread;
}

void remember(History& history, const Trace& trace, const Running& now) {
  if (distance(history.last, now) >= distance(history.other, now)) {
    history.other = history.last;
  }
  history.last = trace;
}

// One access of the running thread to one byte.
struct Touch {
  const Range& range;
  uintptr_t address;
  Access access;
  const Running& now;
  const void* pc;

  std::string what() const { return name_of(access) + std::string(name_of(range.origin)); }

  // `other` may still be under way, or what it wrote may not be seen: what is missing between, or null.
  const char* missing_after(const Trace& other) const {
    if (other.phase < (range.origin == Origin::shared ? now.first_of_block : now.first_of_launch)) {
      return nullptr;
    }
    if (other.block == now.block) {
      return is_ordered_in_block(other, now) ? nullptr : ", with no barrier between";
    }
    if (other.atomic && has_read_all_atomics(address, now)) {
      return nullptr;
    }
    const Order order = order_of_blocks(other, now);
    if (order == Order::acquired || (order == Order::no_fence_after_atomic && access == Access::fresh_read)) {
      return nullptr;
    }
    return order == Order::none ? ", with no barrier between" : ", with no fence after the atomic operation between";
  }

  void check(const Trace& other, const char* did) const {
    if (other.atomic && access == Access::atomic) {
      return;
    }
    if (const char* missing = missing_after(other)) {
      fail_at(what() + " that block " + std::to_string(other.block) + ", thread " + std::to_string(other.thread) + did +
                  missing,
              pc);
    }
  }

  void run(Byte& byte) const {
    // A block starts with shared memory that nobody wrote.
    const uint32_t last_written = byte.writes.last.phase;
    const bool written = range.origin == Origin::shared ? last_written >= now.first_of_block
                                                        : last_written > 0 || range.host_wrote(address);
    if (access != Access::write && !written) {
      fail_at(what() + " where nobody wrote", pc);
    }
    const Trace trace{now.phase, now.block, now.seen[now.thread % kWarp], static_cast<uint16_t>(now.thread),
                      access == Access::atomic};
    check(byte.writes.last, " wrote");
    check(byte.writes.other, " wrote");
    const bool reads = access == Access::read || access == Access::fresh_read;
    if (!reads) {
      check(byte.reads.last, " read");
      check(byte.reads.other, " read");
    }
    remember(reads ? byte.reads : byte.writes, trace, now);
  }
};

}  // namespace

void touch(const void* address, size_t bytes, Access access, const void* pc) {
  if (!in_kernel) {
    return;
  }
  Running& now = device.current->running;
  const auto begin = reinterpret_cast<uintptr_t>(address);
  if (begin >= device.current->stack->begin && begin < device.current->stack->end) {
    return;
  }
  in_kernel = false;
  Range* const range = find_range(begin);
  if (range == nullptr || begin + bytes > range->end) {
    fail_at(name_of(access) + std::string("memory outside of what the launch was given, ") +
                nearest_range(range == nullptr ? begin : range->end),
            pc);
  }
  if (range->origin != Origin::shared && range->origin != Origin::arguments && range->card != device.card) {
    fail_at(name_of(access) + std::string(name_of(range->origin)) + " of card " + std::to_string(range->card) +
                " from card " + std::to_string(device.card),
            pc);
  }
  if (range->read_only() && access != Access::read && access != Access::fresh_read) {
    fail_at(name_of(access) + std::string(name_of(range->origin)), pc);
  }
  if (!now.waited && range->origin != Origin::shared && range->origin != Origin::arguments) {
    fail_at(name_of(access) + std::string(name_of(range->origin)) + " before it waits for the work ahead in the stream",
            pc);
  }
  if (range->origin != Origin::shared && range->origin != Origin::arguments && access != Access::write) {
    ++device.reads;
  }
  if (!range->read_only()) {
    Byte* const remembered = range->remembered(begin, bytes);
    for (size_t i = 0; i < bytes; ++i) {
      Touch{*range, begin + i, access, now, pc}.run(remembered[i]);
    }
  }
  if (access == Access::atomic) {
    atomic_operation(now, begin, bytes);
  }
  in_kernel = true;
}

}  // namespace simt
