#include "common/cuda_driver.h"

#include <cstdio>
#include <utility>

namespace colad {
namespace {

// The CUDA runtime is linked statically, so machine code runs with every driver of the toolkit's major version:
// "Minor Version Compatibility", table 1, in NVIDIA's document "CUDA Compatibility".
constexpr std::pair<int, int> kDriverOfMajor[] = {{12, 525}, {13, 580}};
// A driver compiles the PTX of its own toolkit and of older ones: "CUDA Toolkit and Corresponding Driver Versions" in
// the release notes of the CUDA toolkit.
constexpr std::pair<int, int> kDriverOfToolkit[] = {
    {12000, 525}, {12010, 530}, {12020, 535}, {12030, 545}, {12040, 550}, {12050, 555},
    {12060, 560}, {12080, 570}, {12090, 575}, {13000, 580}, {13010, 590},
};

template <size_t n>
int find(const std::pair<int, int> (&table)[n], int key) {
  for (const auto& [number, driver] : table) {
    if (number == key) {
      return driver;
    }
  }
  return 0;
}

// CUDA's own number for the toolkit: 12080 for 12.8. 0 without CUDA.
int toolkit() {
  int major = 0, minor = 0;
  std::sscanf(COLAD_CUDA_VERSION, "%d.%d", &major, &minor);
  return 1000 * major + 10 * minor;
}

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

std::string needs(int driver, int driver_cuda) {
  const std::string lowest = driver == 0 ? "that came with it" : std::to_string(driver);
  const std::string here = driver_cuda == 0 ? "There is none" : "This one knows CUDA up to " + version(driver_cuda);
  return "needs driver " + lowest + " or newer. " + here +
         ". Update the driver, or build colad_ops with an older CUDA (docs/install.md)";
}

// The numbers of cudaError_t.
enum { kInsufficientDriver = 35, kNoKernelImageForDevice = 209, kUnsupportedPtxVersion = 222 };

}  // namespace

LowestDriver lowest_driver() { return {find(kDriverOfMajor, toolkit() / 1000), find(kDriverOfToolkit, toolkit())}; }

std::string launch_advice(int error, int driver_cuda, int capability) {
  const std::string library = "libcolad_ops.so was built with CUDA " COLAD_CUDA_VERSION " for " COLAD_CUDA_ARCHS;
  const std::string for_this_card = "COLAD_CUDA_ARCHS=" + std::to_string(capability);
  switch (error) {
    case kInsufficientDriver:
      return "The NVIDIA driver is too old: " + library + ", which " + needs(lowest_driver().code, driver_cuda);
    case kUnsupportedPtxVersion:
      return "The NVIDIA driver is too old for this card: " + library + ". A card of compute capability " +
             std::to_string(capability) + " runs its PTX, which " + needs(lowest_driver().ptx, driver_cuda) +
             " or for this card (" + for_this_card + ")";
    case kNoKernelImageForDevice:
      return "There is no code for this card: " + library + ", and the card has compute capability " +
             std::to_string(capability) + ". Build colad_ops for it (" + for_this_card + ")";
    default:
      return "";
  }
}

}  // namespace colad

// The tests read this through ctypes: no launch fails like this where they run.
extern "C" __attribute__((visibility("default"))) const char* colad_launch_advice(int error, int driver_cuda,
                                                                                  int capability) {
  thread_local std::string advice;
  advice = colad::launch_advice(error, driver_cuda, capability);
  return advice.c_str();
}
