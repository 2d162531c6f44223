// Included before every source: what the kernels' files use of torch, for a card that is no CUDA device.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include "../card.h"

// For the functions of torch's headers, the emulated card is CUDA.
#define aoti_torch_device_type_cuda simt_type_of_cuda
#define aoti_torch_device_type_cpu simt_type_of_cpu
#define aoti_torch_create_device_guard simt_create_device_guard
#define aoti_torch_delete_device_guard simt_delete_device_guard
#define aoti_torch_get_current_cuda_stream simt_current_stream

#include <torch/csrc/stable/library.h>

// The CUDA operators become operators of torch.ops.colad for tensors on a card (see card.h), and of
// torch.ops.colad_simt for tensors on the CPU.
#undef STABLE_TORCH_LIBRARY
#define STABLE_TORCH_LIBRARY(ns, m) STABLE_TORCH_LIBRARY_FRAGMENT(colad_simt, m)
#undef STABLE_TORCH_LIBRARY_IMPL
#define STABLE_TORCH_LIBRARY_IMPL(ns, k, m) SIMT_REGISTER(m, C10_CONCATENATE(simt_register_, C10_UID))
#define SIMT_REGISTER(m, name)                                                                              \
  static void name(torch::stable::detail::StableLibrary&);                                                  \
  static const torch::stable::detail::StableTorchLibraryInit C10_CONCATENATE(name, _on_a_card)(             \
      torch::stable::detail::StableLibrary::Kind::IMPL, &name, "colad", "PrivateUse1", __FILE__, __LINE__); \
  static const torch::stable::detail::StableTorchLibraryInit C10_CONCATENATE(name, _on_the_cpu)(            \
      torch::stable::detail::StableLibrary::Kind::IMPL, &name, "colad_simt", "CPU", __FILE__, __LINE__);    \
  void name(torch::stable::detail::StableLibrary& m)
