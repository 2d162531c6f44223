// The operators of torch for tensors on a card: memory, copies and fills. All others run on copies on the CPU.
#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <ATen/ops/as_strided_cpu_dispatch.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/view_cpu_dispatch.h>
#include <torch/library.h>

#include "card_state.h"

namespace simt {
namespace {

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

// Whether torch's operators run on copies. Their copies are not what the host asked for.
thread_local bool on_copies = false;

at::Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                 std::optional<c10::Device> device, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  const c10::DeviceGuard guard(device.value_or(c10::Device("simt")));
  return at::detail::empty_generic(size, c10::GetAllocator(c10::DeviceType::PrivateUse1), kKeys,
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout>, std::optional<c10::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(device.value_or(c10::Device("simt")));
  return at::detail::empty_strided_generic(size, stride, c10::GetAllocator(c10::DeviceType::PrivateUse1), kKeys,
                                           c10::dtype_or_default(dtype));
}

// The same memory as a tensor on the CPU.
at::Tensor seen_by_the_cpu(const at::Tensor& tensor) {
  if (tensor.is_cpu()) {
    return tensor;
  }
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options().device(c10::kCPU));
}

void tensor_was_written(const at::Tensor& tensor) {
  if (tensor.is_cpu() || tensor.numel() == 0) {
    return;
  }
  int64_t last = 0;
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    last += (tensor.size(d) - 1) * tensor.stride(d);
  }
  host_wrote(tensor.data_ptr(), (last + 1) * tensor.element_size());
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  const Unlocked unlocked;
  if (!on_copies) {
    const std::string way = from.is_cpu() ? "to the card" : to.is_cpu() ? "from the card" : "on the card";
    if (to.is_cpu() && !non_blocking) {
      wait("copy " + way);
    }
    record("copy\t" + way + (non_blocking ? "\tnon_blocking" : "\tblocking"));
  }
  seen_by_the_cpu(to).copy_(seen_by_the_cpu(from));
  tensor_was_written(to);
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  const_cast<at::Tensor&>(to).resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar scalar_of(const at::Tensor& tensor) {
  const Unlocked unlocked;
  wait("item");
  return at::_local_scalar_dense(seen_by_the_cpu(tensor));
}

at::Tensor& fill(at::Tensor& tensor, const at::Scalar& value) {
  const Unlocked unlocked;
  record("fill\t" + std::to_string(tensor.nbytes()));
  seen_by_the_cpu(tensor).fill_(value);
  tensor_was_written(tensor);
  return tensor;
}

at::Tensor& zero(at::Tensor& tensor) { return fill(tensor, 0); }

const at::Tensor& resize(const at::Tensor& tensor, c10::IntArrayRef size, std::optional<c10::MemoryFormat> format) {
  const c10::DeviceGuard guard(tensor.device());
  const Unlocked unlocked;
  return at::native::resize_(tensor, size, format);
}

at::Tensor as_strided(const at::Tensor& tensor, c10::IntArrayRef size, c10::IntArrayRef stride,
                      std::optional<int64_t> offset) {
  return at::cpu::as_strided(tensor, size, stride, offset);
}

at::Tensor view(const at::Tensor& tensor, c10::IntArrayRef size) { return at::cpu::view(tensor, size); }

at::Tensor reshape_alias(const at::Tensor& tensor, c10::IntArrayRef size, c10::IntArrayRef stride) {
  return at::cpu::as_strided(tensor, size, stride, tensor.storage_offset());
}

void on_the_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::string& name = op.schema().name();
  TORCH_CHECK(name.rfind("colad::", 0) != 0, name, " has no kernel for a card");
  // The size of the result depends on data.
  const bool waits = name == "aten::nonzero" || name == "aten::masked_select" || name == "aten::_unique2";
  if (waits) {
    wait(name);
  }
  record("torch\t" + name);
  const bool before = on_copies;
  on_copies = true;
  at::native::cpu_fallback(op, stack);
  on_copies = before;
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &scalar_of);
  m.impl("fill_.Scalar", &fill);
  m.impl("zero_", &zero);
  m.impl("resize_", &resize);
  m.impl("as_strided", &as_strided);
  m.impl("view", &view);
  m.impl("_reshape_alias", &reshape_alias);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>()); }

}  // namespace simt
