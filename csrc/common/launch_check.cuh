// What a failed launch says.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/macros.h>

#include "common/check.h"
#include "common/cuda_driver.h"

// In libtorch_cuda.so, and weak: see cuda_scope.h.
extern "C" {
__attribute__((weak)) AOTITorchError torch_c10_cuda_check_msg(int32_t err, const char* filename,
                                                              const char* function_name, uint32_t line_number,
                                                              bool include_device_assertions, char** error_msg);
__attribute__((weak)) void torch_c10_cuda_free_error_msg(char* error_msg);
}

namespace colad {

// Raises if `error` is one. Where the driver or the card is the cause, the message says what to do about it; of any
// other error torch makes the message.
inline void check_launch(cudaError_t error) {
  if (error == cudaSuccess) {
    return;
  }
  int device = 0, major = 0, minor = 0, driver_cuda = 0;
  cudaDriverGetVersion(&driver_cuda);
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  const std::string advice = launch_advice(error, driver_cuda, 10 * major + minor);
  check(advice.empty(), cudaGetErrorString(error), ". ", advice);
  STD_CUDA_CHECK(error);
}

}  // namespace colad
