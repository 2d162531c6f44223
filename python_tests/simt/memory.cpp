// Who may read and write what. The kernels are compiled with -fsanitize=thread, whose runtime this file replaces: every
// load and store of theirs calls `touch`, with the address of the instruction.
#include <algorithm>
#include <cstring>
#include <memory>
#include <sstream>
#include <vector>

#include "simt.h"

namespace simt {
namespace {

constexpr unsigned char kPoison = 0xCB;

// The last write and the last read of one byte.
struct Trace {
  Identity by;
  bool valid = false, atomic = false;
};

struct Byte {
  Trace write, read;
  uint32_t launch = 0, block = 0;  // that wrote it last
  bool written = false;
};

struct Range {
  uintptr_t begin, end;
  Origin origin;
  std::unique_ptr<Byte[]> bytes;
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

// Whether everything the other thread did before is visible to this one: a barrier lies between.
bool ordered(const Identity& before, const Identity& now) {
  if (before.launch != now.launch || (before.block == now.block && before.thread == now.thread)) {
    return true;
  }
  if (before.block != now.block) {
    return false;
  }
  const bool same_warp = before.thread / 32 == now.thread / 32;
  return before.block_epoch != now.block_epoch || (same_warp && before.warp_epoch != now.warp_epoch);
}

const char* name_of(Access access) {
  return access == Access::read ? "reads" : access == Access::write ? "writes" : "changes";
}

void check_byte(const Range& range, uintptr_t address, Access access, const Identity& now, const void* pc) {
  Byte& byte = range.bytes[address - range.begin];
  const bool shared = range.origin == Origin::shared;
  if (shared && (byte.launch != now.launch || byte.block != now.block)) {
    byte = Byte{};  // a block starts with shared memory that nobody wrote
    byte.launch = now.launch, byte.block = now.block;
  }
  if (access != Access::write && !byte.written &&
      (shared || (range.origin == Origin::scratch && *reinterpret_cast<unsigned char*>(address) == kPoison))) {
    fail_at(std::string(name_of(access)) + (shared ? " shared" : "") + " memory that was never written", pc);
  }
  const auto races = [&](const Trace& other) {
    return other.valid && !(other.atomic && access == Access::atomic) && !ordered(other.by, now);
  };
  if (races(byte.write) || (access != Access::read && races(byte.read))) {
    const Identity& other = races(byte.write) ? byte.write.by : byte.read.by;
    std::ostringstream out;
    out << name_of(access) << (shared ? " shared" : "") << " memory that block " << other.block << ", thread "
        << other.thread << (races(byte.write) ? " wrote" : " read") << ", with no barrier between";
    fail_at(out.str(), pc);
  }
  Trace& trace = access == Access::read ? byte.read : byte.write;
  trace = {now, true, access == Access::atomic};
  byte.written |= access != Access::read;
}

}  // namespace

void hand_over(const void* data, size_t bytes, Origin origin) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  last_range = nullptr;
  std::erase_if(ranges, [&](const Range& r) { return r.begin < begin + bytes && begin < r.end; });
  ranges.push_back({begin, begin + bytes, origin, std::make_unique<Byte[]>(bytes)});
}

void forget(Origin origin) {
  last_range = nullptr;
  std::erase_if(ranges, [&](const Range& range) { return range.origin == origin; });
}

void poison(void* data, size_t bytes) { std::memset(data, kPoison, bytes); }

void touch(const void* address, size_t bytes, Access access, const void* pc) {
  const Identity* now = running();
  const auto begin = reinterpret_cast<uintptr_t>(address);
  if (now == nullptr || (begin >= now->stack_begin && begin < now->stack_end)) {
    return;
  }
  for (uintptr_t at = begin; at < begin + bytes; ++at) {
    const Range* range = find(at);
    if (range == nullptr || (range->origin == Origin::arguments && access != Access::read)) {
      fail_at(std::string(name_of(access)) + " memory that was not handed to the launch", pc);
    }
    check_byte(*range, at, access, *now, pc);
  }
}

}  // namespace simt

#pragma GCC visibility push(default)
extern "C" {

// Where the library lies: known by name to the loader.
__attribute__((visibility("default"))) char simt_anchor = 0;

void simt_hand_over(const void* data, size_t bytes, int shared) {
  simt::hand_over(data, bytes, shared ? simt::Origin::shared : simt::Origin::tensor);
}
void simt_forget() {
  simt::forget(simt::Origin::tensor);
  simt::forget(simt::Origin::scratch);
}

// The entry points of ThreadSanitizer's runtime that gcc emits for loads and stores.
#define ACCESS(name, bytes, access) \
  void __tsan_##name(void* address) { simt::touch(address, bytes, simt::Access::access, __builtin_return_address(0)); }
#define ACCESSES(bytes)                            \
  ACCESS(read##bytes, bytes, read)                 \
  ACCESS(write##bytes, bytes, write)               \
  ACCESS(unaligned_read##bytes, bytes, read)       \
  ACCESS(unaligned_write##bytes, bytes, write)     \
  ACCESS(volatile_read##bytes, bytes, read)        \
  ACCESS(volatile_write##bytes, bytes, write)
ACCESSES(1) ACCESSES(2) ACCESSES(4) ACCESSES(8) ACCESSES(16)
void __tsan_read_range(void* address, size_t bytes) {
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
void __tsan_func_entry(void*) {}
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
