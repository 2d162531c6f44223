// In place of csrc/common/launch.cuh: a launch runs its threads here.
#pragma once

#include <cuda_runtime.h>

#include <tuple>

#include "common/check.h"

namespace colad {

class CudaScope {
 public:
  explicit CudaScope(const Tensor&) {}
  cudaStream_t stream() const { return nullptr; }
};

// So few that blocks have to take turns: what a block leaves behind for its next item shows.
constexpr int64_t kMaxGrid = 3;

template <typename... Parameters, typename... Arguments>
void launch_named(const char* name, bool dependent, void (*kernel)(Parameters...), unsigned grid, unsigned block,
                  size_t, cudaStream_t, Arguments... arguments) {
  const std::tuple<std::decay_t<Parameters>...> parameters(static_cast<Parameters>(arguments)...);
  simt::hand_over(&parameters, sizeof parameters, simt::Origin::arguments);
  simt::hand_over(&kernel, sizeof kernel, simt::Origin::arguments);
  simt::run(name, {grid, 1, 1}, {block, 1, 1}, dependent,
            [&]() __attribute__((no_sanitize("thread"))) { std::apply(kernel, parameters); });
  simt::forget(simt::Origin::arguments);
}

}  // namespace colad

#define launch(...) launch_named(#__VA_ARGS__, false, __VA_ARGS__)
#define launch_dependent(...) launch_named(#__VA_ARGS__, true, __VA_ARGS__)
