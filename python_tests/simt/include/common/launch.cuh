// In place of csrc/common/launch.cuh: a launch runs its threads here.
#pragma once

#include <cuda_runtime.h>

#include <tuple>

#include "common/cuda_scope.h"

namespace colad {

// The caller of the operator chooses it: the number of the real header, or so few that blocks have to take turns, where
// what a block leaves behind for its next item shows.
constexpr struct {
  operator int64_t() const { return simt::max_grid(); }
} kMaxGrid;
inline int64_t blocks_of_card(int) { return 2 * int64_t(kMaxGrid); }

template <typename... Parameters, typename... Arguments>
void launch_named(const char* name, bool dependent, void (*kernel)(Parameters...), unsigned grid, unsigned block,
                  size_t, cudaStream_t stream, Arguments... arguments) {
  const std::tuple<std::decay_t<Parameters>...> parameters(static_cast<Parameters>(arguments)...);
  simt::hand_over(&parameters, sizeof parameters, simt::Origin::arguments);
  simt::hand_over(&kernel, sizeof kernel, simt::Origin::arguments);
  simt::run(name, {grid, 1, 1}, {block, 1, 1}, stream, dependent,
            [&]() __attribute__((no_sanitize("thread"))) { std::apply(kernel, parameters); });
  simt::forget(simt::Origin::arguments);
}

}  // namespace colad

#define launch(...) launch_named(#__VA_ARGS__, false, __VA_ARGS__)
#define launch_dependent(...) launch_named(#__VA_ARGS__, true, __VA_ARGS__)
