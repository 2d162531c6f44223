// A loop over the items of all batches, distributed over the threads of the CPU.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>

namespace colad {

// Every batch has `size` items. Calls visit(batch, begin, end) for ranges of them, in parallel. A thread gets at least
// `grain` items.
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
