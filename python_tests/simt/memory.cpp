// Who may read and write what. The kernels are compiled with -fsanitize=thread, whose runtime this file replaces: every
// load and store of theirs calls `touch`, with the address of the instruction.
#include <algorithm>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "simt.h"

namespace simt {
namespace {

constexpr unsigned char kPoison = 0xCB;

// An access: none in phase 0. `clock`: how far the thread was among its warp.
struct Trace {
  uint32_t phase, block, clock;
  uint16_t thread;
  bool atomic;
};

// The last access and one before it, by a thread farther away if there was one: of another block rather than of another
// warp, of another warp rather than of the same.
struct History {
  Trace last, other;
};

// What is remembered of one byte.
struct Byte {
  History writes, reads;
};

struct Range {
  uintptr_t begin, end;
  Origin origin;
  std::unique_ptr<Byte[]> bytes;  // of what can be written
};

std::vector<Range> ranges;
const Range* last_range = nullptr;

const Range* find(uintptr_t address) {
  if (last_range != nullptr && address >= last_range->begin && address < last_range->end) {
    return last_range;
  }
  for (const Range& range : ranges) {
    if (address >= range.begin && address < range.end) {
      return last_range = &range;
    }
  }
  return nullptr;
}

bool read_only(Origin origin) { return origin == Origin::input || origin == Origin::arguments; }

const char* name_of(Origin origin) {
  constexpr const char* names[] = {"an input", "the arguments", "a copy", "an output", "shared memory"};
  return names[static_cast<int>(origin)];
}

const char* name_of(Access access) {
  return access == Access::read ? "reads " : access == Access::write ? "writes " : "changes ";
}

std::string nearest(uintptr_t address) {
  std::string name = "nothing";
  uintptr_t least = 4096;
  for (const Range& range : ranges) {
    const bool after = address >= range.end;
    const uintptr_t distance = after ? address - range.end + 1 : range.begin - address;
    if (distance < least) {
      least = distance;
      name = std::to_string(distance) + " bytes " + (after ? "past the end" : "before the start") + " of " +
             name_of(range.origin);
    }
  }
  return name;
}

// Whether everything the other thread did before is visible to this one: a barrier lies between, or a launch.
bool ordered(const Trace& before, const Running& now) {
  if (before.phase < now.first_of_launch || (before.block == now.block && before.thread == now.thread)) {
    return true;
  }
  if (before.phase != now.phase) {
    return before.phase >= now.first_of_block;
  }
  return before.thread / 32 == now.thread / 32 && now.seen[before.thread % 32] >= before.clock;
}

// How far from the running thread an access was, 0 where nothing need lie between.
int distance(const Trace& before, const Running& now) {
  if (before.block != now.block) {
    return before.phase >= now.first_of_launch ? 3 : 0;
  }
  return before.phase != now.phase ? 0 : before.thread / 32 != now.thread / 32 ? 2 : before.thread != now.thread;
}

void remember(History& history, const Trace& trace, const Running& now) {
  if (distance(history.last, now) >= distance(history.other, now)) {
    history.other = history.last;
  }
  history.last = trace;
}

void check_byte(const Range& range, uintptr_t address, Access access, const Running& now, const void* pc) {
  Byte& byte = range.bytes[address - range.begin];
  const bool shared = range.origin == Origin::shared;
  // A block starts with shared memory that nobody wrote.
  const uint32_t last_written = byte.writes.last.phase;
  const bool written = shared ? last_written >= now.first_of_block
                              : range.origin == Origin::copy || last_written > 0 ||
                                    *reinterpret_cast<unsigned char*>(address) != kPoison;
  if (access != Access::write && !written) {
    fail_at(name_of(access) + std::string(name_of(range.origin)) + " where nobody wrote", pc);
  }
  const auto check = [&](const Trace& other, const char* did) {
    const bool in_reach = !shared || other.phase >= now.first_of_block;
    if (in_reach && !(other.atomic && access == Access::atomic) && !ordered(other, now)) {
      fail_at(name_of(access) + std::string(name_of(range.origin)) + " that block " + std::to_string(other.block) +
                  ", thread " + std::to_string(other.thread) + did + ", with no barrier between",
              pc);
    }
  };
  const Trace trace{now.phase, now.block, now.seen[now.thread % 32], static_cast<uint16_t>(now.thread),
                    access == Access::atomic};
  check(byte.writes.last, " wrote");
  check(byte.writes.other, " wrote");
  if (access != Access::read) {
    check(byte.reads.last, " read");
    check(byte.reads.other, " read");
  }
  remember(access == Access::read ? byte.reads : byte.writes, trace, now);
}

}  // namespace

void hand_over(const void* data, size_t bytes, Origin origin) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  last_range = nullptr;
  std::erase_if(ranges, [&](const Range& r) { return r.begin < begin + bytes && begin < r.end; });
  if (bytes == 0) {
    return;
  }
  if (origin == Origin::scratch) {
    std::memset(const_cast<void*>(data), kPoison, bytes);
  }
  ranges.push_back({begin, begin + bytes, origin, std::make_unique<Byte[]>(read_only(origin) ? 0 : bytes)});
}

void forget(Origin origin) {
  last_range = nullptr;
  std::erase_if(ranges, [&](const Range& range) { return range.origin == origin; });
}

void touch(const void* address, size_t bytes, Access access, const void* pc) {
  const Running& now = *running();
  const auto begin = reinterpret_cast<uintptr_t>(address);
  if (!in_kernel || (begin >= now.stack_begin && begin < now.stack_end)) {
    return;
  }
  in_kernel = false;
  const Range* range = find(begin);
  if (range == nullptr || begin + bytes > range->end) {
    fail_at(name_of(access) + std::string("memory outside of what the launch was given, ") +
                nearest(range == nullptr ? begin : range->end),
            pc);
  }
  if (read_only(range->origin) && access != Access::read) {
    fail_at(name_of(access) + std::string(name_of(range->origin)), pc);
  }
  for (uintptr_t at = begin; at < begin + bytes && !read_only(range->origin); ++at) {
    check_byte(*range, at, access, now, pc);
  }
  in_kernel = true;
}

}  // namespace simt

#pragma GCC visibility push(default)
extern "C" {

// Where the library lies: known by name to the loader.
char simt_anchor = 0;

void simt_hand_over(const void* data, size_t bytes, int shared) {
  simt::hand_over(data, bytes, shared ? simt::Origin::shared : simt::Origin::input);
}
void simt_forget() {
  simt::forget(simt::Origin::input);
  simt::forget(simt::Origin::scratch);
}

// The entry points of ThreadSanitizer's runtime that gcc emits for loads and stores.
#define ACCESS(name, bytes, access) \
  void __tsan_##name(void* address) { simt::touch(address, bytes, simt::Access::access, __builtin_return_address(0)); }
#define ACCESSES(bytes)                        \
  ACCESS(read##bytes, bytes, read)             \
  ACCESS(write##bytes, bytes, write)           \
  ACCESS(unaligned_read##bytes, bytes, read)   \
  ACCESS(unaligned_write##bytes, bytes, write) \
  ACCESS(volatile_read##bytes, bytes, read)    \
  ACCESS(volatile_write##bytes, bytes, write)
ACCESSES(1) ACCESSES(2) ACCESSES(4) ACCESSES(8) ACCESSES(16) void __tsan_read_range(void* address, size_t bytes) {
  simt::touch(address, bytes, simt::Access::read, __builtin_return_address(0));
}
void __tsan_write_range(void* address, size_t bytes) {
  simt::touch(address, bytes, simt::Access::write, __builtin_return_address(0));
}
// What gcc emits for an address that is no multiple of its type's alignment: x86 forgives it, a card does not.
struct TypeMismatch {
  const char* file;
  uint32_t line, column;
};
void __ubsan_handle_type_mismatch_v1(const TypeMismatch* where, uintptr_t address) {
  if (simt::running() != nullptr && address != 0) {
    std::ostringstream out;
    out << "uses a misaligned address in line " << where->line << " of " << where->file;
    simt::fail_at(out.str(), __builtin_return_address(0));
  }
}
void __tsan_init() {}
void __tsan_func_entry(void*) {
  if (simt::in_kernel && reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) < simt::running()->stack_low) {
    simt::fail_at("uses too much of its stack", __builtin_return_address(0));
  }
}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
// Atomics of the host code around the kernels (reference counts).
int __tsan_atomic32_fetch_add(volatile int* address, int value, int) { return __atomic_fetch_add(address, value, 5); }
int __tsan_atomic32_load(const volatile int* address, int) { return __atomic_load_n(address, 5); }
char __tsan_atomic8_load(const volatile char* address, int) { return __atomic_load_n(address, 5); }
void __tsan_atomic32_store(volatile int* address, int value, int) { __atomic_store_n(address, value, 5); }
long __tsan_atomic64_load(const volatile long* address, int) { return __atomic_load_n(address, 5); }

}  // extern "C"
