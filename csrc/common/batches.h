// Items of batch after batch, shared out to threads on the CPU.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>

namespace colad {

// Calls visit(batch, begin, end) for stretches of the `size` items of a batch, at least `grain` items a thread.
template <typename Visit>
void for_batches(int64_t batches, int64_t size, int64_t grain, Visit visit) {
  torch::stable::parallel_for(0, batches * size, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t batch = begin / size, first = batch * size, stop = std::min(end, first + size);
      visit(batch, begin - first, stop - first);
      begin = stop;
    }
  });
}

}  // namespace colad
