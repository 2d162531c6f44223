// Every kernel is launched through this header, which checks the launch for an error. The tests replace it by one of
// the same name that runs the kernels on the CPU.
#pragma once

#include <torch/csrc/stable/macros.h>

#include "common/cuda_scope.h"

// See cuda_scope.h.
extern "C" {
__attribute__((weak)) AOTITorchError torch_c10_cuda_check_msg(int32_t err, const char* filename,
                                                              const char* function_name, uint32_t line_number,
                                                              bool include_device_assertions, char** error_msg);
__attribute__((weak)) void torch_c10_cuda_free_error_msg(char* error_msg);
}

namespace colad {

// The most blocks of a launch. If there is more work, every block loops over several parts of it. This many blocks fill
// any card: 2^16 blocks of 256 threads are over 50 full waves on 132 multiprocessors.
constexpr int64_t kMaxGrid = 1 << 16;

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), unsigned grid, unsigned block, size_t shared_bytes, cudaStream_t stream,
            Arguments... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace colad
