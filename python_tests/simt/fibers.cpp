// Fibers: a stack for each thread, and jumps between them. Compiled without the instrumentation that the kernels have.
#include <sys/mman.h>
#include <ucontext.h>

#include <stdexcept>

#include "device.h"

namespace simt {
namespace {

// What a kernel may use of its stack, which is far more than it should; what is there, so that going over can still be
// told (untouched pages cost nothing); and a page below that stops what goes further.
constexpr size_t kStackUse = 64 << 10, kStack = 1 << 20, kGuard = 64 << 10;

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
    pause();
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

}  // namespace

bool in_kernel = false;

void resume(Fiber& fiber) {
  device.current = &fiber;
  fiber.started ? switch_to(device.scheduler, fiber.context) : start(fiber);
}

void pause() {
  in_kernel = false;
  switch_to(device.current->context, device.scheduler);
}

void stop(const std::string& message) {
  device.error = error_of(*device.current, message);
  pause();
  std::abort();  // never resumed
}

}  // namespace simt
