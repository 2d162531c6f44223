// What one block may read of what another one wrote in the same launch. A fence and then an atomic operation release: a
// thread that reads the operation's result and then has a fence acquires all that was done before the first fence.
// "Done before" and "then" mean in the same thread, or across barriers of the block and operations of the warp.
#pragma once

#include "device.h"

namespace simt {

// An access to a byte: none in phase 0. `clock`: how far the thread was among its warp.
struct Trace {
  uint32_t phase, block, clock;
  uint16_t thread;
  bool atomic;
};

void forget_releases();  // a launch begins
void atomic_operation(Running& self, uintptr_t address, size_t bytes);

enum class Order { none, no_fence_after_atomic, acquired };
// Whether what another block did is ordered before what `now` does next.
Order order_of_blocks(const Trace& before, const Running& now);
// Whether `now` has read the result of every atomic operation on this location.
bool has_read_all_atomics(uintptr_t address, const Running& now);

// Threads that meet share what they know.
void share_in_warp(const std::vector<Running*>& met);
void share_in_block(Block& block);

}  // namespace simt
