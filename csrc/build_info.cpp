// How this library was built. Python reads it through ctypes, without torch: see colad_ops.build_info().
#include <string>

#include "common/cuda_driver.h"

#if defined(__clang__)
#define COLAD_COMPILER "clang " __clang_version__
#else
#define COLAD_COMPILER "gcc " __VERSION__
#endif

extern "C" __attribute__((visibility("default"))) const char* colad_build_info() {
  const auto [code, ptx] = colad::lowest_driver();
  static const std::string info =
      "{\"version\": \"" COLAD_VERSION "\", \"commit\": \"" COLAD_COMMIT "\", \"compiler\": \"" COLAD_COMPILER
      "\", \"cuda\": \"" COLAD_CUDA_VERSION "\", \"cuda_archs\": \"" COLAD_CUDA_ARCHS "\", \"lowest_driver\": " +
      std::to_string(code) + ", \"lowest_driver_for_ptx\": " + std::to_string(ptx) + ", \"torch_target\": \"2.11\"}";
  return info.c_str();
}
