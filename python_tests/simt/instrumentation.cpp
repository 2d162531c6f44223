// The kernels are compiled with -fsanitize=thread, whose runtime this file replaces: every load and store of theirs
// calls `touch`, with the address of the instruction.
#include <sstream>
#include <vector>

#include "device.h"

#pragma GCC visibility push(default)
extern "C" {

// What gcc emits for loads and stores.
#define ACCESS(name, bytes, access) \
  void __tsan_##name(void* address) { simt::touch(address, bytes, simt::Access::access, __builtin_return_address(0)); }
#define ACCESSES(bytes)                           \
  ACCESS(read##bytes, bytes, read)                \
  ACCESS(write##bytes, bytes, write)              \
  ACCESS(unaligned_read##bytes, bytes, read)      \
  ACCESS(unaligned_write##bytes, bytes, write)    \
  ACCESS(volatile_read##bytes, bytes, fresh_read) \
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
  if (simt::in_kernel && address != 0) {
    simt::in_kernel = false;
    std::ostringstream out;
    out << "uses a misaligned address in line " << where->line << " of " << where->file;
    simt::fail_at(out.str(), __builtin_return_address(0));
  }
}
// Which parts of the kernels run: gcc emits a call at the start of each basic block (-fsanitize-coverage=trace-pc).
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char etext[] __attribute__((visibility("hidden")));
static std::vector<bool> reached;
void __sanitizer_cov_trace_pc() {
  if (simt::in_kernel) {
    reached.resize(etext - __ehdr_start);
    reached[static_cast<const char*>(__builtin_return_address(0)) - __ehdr_start] = true;
  }
}
// Whether the basic block has run that calls from this offset in the library.
int simt_reached(size_t offset) { return offset < reached.size() && reached[offset]; }
void __tsan_init() {}
void __tsan_func_entry(void*) {
  if (simt::in_kernel && reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) < simt::device.current->stack->low) {
    simt::in_kernel = false;
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
