// Every kernel is launched through this header. It makes the tensor's device current, takes torch's stream, and checks
// the launch for an error. The tests replace this header by one of the same name that runs the kernels on the CPU.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include "common/check.h"
#include "common/launch_check.cuh"

// This function of the stable ABI is in libtorch_cuda.so. It is a weak symbol, so this library also loads in a CPU-only
// torch. There it is null, and nothing calls it because no CUDA tensor can exist.
extern "C" {
__attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index, void** ret_stream);
}

namespace colad {

// As long as this object lives, the tensor's device is current. stream() is torch's stream on that device.
class CudaScope {
 public:
  explicit CudaScope(const Tensor& tensor) : guard_(tensor.get_device_index()) {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }

  cudaStream_t stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_;
};

// The most blocks of a launch. If there is more work, every block loops over several parts of it. This many blocks fill
// any card: 2^16 blocks of 256 threads are over 50 full waves on 132 multiprocessors.
constexpr int64_t kMaxGrid = 1 << 16;

// The blocks of `block` threads that the current device can hold, if they take few registers.
inline int64_t blocks_of_card(int block) {
  int device = 0, multiprocessors = 0, threads = 0;
  STD_CUDA_CHECK(cudaGetDevice(&device));
  STD_CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  STD_CUDA_CHECK(cudaDeviceGetAttribute(&threads, cudaDevAttrMaxThreadsPerMultiProcessor, device));
  return int64_t(multiprocessors) * (threads / block);
}

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
