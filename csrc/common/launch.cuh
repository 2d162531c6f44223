// Every kernel is launched through this header, which checks the launch for an error. The tests replace it by one of
// the same name that runs the kernels on the CPU.
#pragma once

#include "common/cuda_scope.h"
#include "common/launch_check.cuh"

namespace colad {

// The most blocks of a launch. If there is more work, every block loops over several parts of it. This many blocks fill
// any card: 2^16 blocks of 256 threads are over 50 full waves on 132 multiprocessors.
constexpr int64_t kMaxGrid = 1 << 16;

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), unsigned grid, unsigned block, size_t shared_bytes, cudaStream_t stream,
            Arguments... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  check_launch(cudaGetLastError());
}

// The same for a kernel that starts with wait_for_previous_kernel(). Where the card can (sm_90 and newer), its blocks
// are set up while the kernel before it still runs (programmatic dependent launch).
template <typename... Parameters, typename... Arguments>
void launch_dependent(void (*kernel)(Parameters...), unsigned grid, unsigned block, size_t shared_bytes,
                      cudaStream_t stream, Arguments... arguments) {
  int device = 0, major = 0;
  check_launch(cudaGetDevice(&device));
  check_launch(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes, config.stream = stream;
  config.attrs = &early, config.numAttrs = major >= 9 ? 1 : 0;
  check_launch(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

}  // namespace colad
