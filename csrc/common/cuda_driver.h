// Which NVIDIA driver this library needs, and what to say when the driver or the card cannot run its kernels. It
// includes no CUDA header: a library without CUDA has it too.
#pragma once

#include <string>

namespace colad {

// Branches of the driver, e.g. 580. 0: this library has no CUDA, or a newer CUDA than the tables know.
struct LowestDriver {
  int code;  // for the machine code of the architectures in COLAD_CUDA_ARCHS
  int ptx;   // for PTX, which the driver compiles for other cards
};

LowestDriver lowest_driver();

// A sentence where the driver or the card is why a kernel did not start, with what to do; "" for all other errors.
// `error` is a cudaError_t, `driver_cuda` what cudaDriverGetVersion says, `capability` e.g. 90; 0 if not known.
std::string launch_advice(int error, int driver_cuda, int capability);

}  // namespace colad
