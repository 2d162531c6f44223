// Where a kernel runs: on the device of its tensors, in torch's stream there.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include "common/check.h"

// This function of the stable ABI is in libtorch_cuda.so. It is a weak symbol, so this library also loads in a CPU-only
// torch. There it is null, and nothing calls it because no CUDA tensor can exist.
extern "C" {
__attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index, void** ret_stream);
}

namespace colad {

// As long as this object lives, the tensor's device is current. stream() is torch's stream on that device. The contract
// of an operator has checked that all its tensors are on one device. A tensor on another device than CUDA would give
// the kernels pointers that they cannot read, and after such a kernel no CUDA call of the process works.
class CudaScope {
 public:
  explicit CudaScope(const Tensor& tensor) : guard_(index_of(tensor)) {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index_of(tensor), &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }

  cudaStream_t stream() const { return stream_; }

 private:
  static int32_t index_of(const Tensor& tensor) {
    check(tensor.is_cuda(), "a kernel's tensors should be on a CUDA device, got ", device_of(tensor));
    return tensor.get_device_index();
  }

  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_;
};

}  // namespace colad
