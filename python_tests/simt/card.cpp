#include "card.h"

namespace simt {

Card card;

}  // namespace simt

extern "C" {

int32_t simt_type_of_cuda() { return simt::card.type_of_cuda; }
int32_t simt_type_of_cpu() { return simt::card.type_of_cpu; }

// As torch's functions, these take -1, which is what a tensor on the CPU has, for the current device. A guard is the
// number of the device before, and 1.
int32_t simt_create_device_guard(int32_t index, DeviceGuardOpaque** guard) {
  *guard = reinterpret_cast<DeviceGuardOpaque*>(intptr_t(simt::card.current_device()) + 1);
  if (index >= 0) {
    simt::card.set_device(index);
  }
  return 0;
}

int32_t simt_delete_device_guard(DeviceGuardOpaque* guard) {
  simt::card.set_device(static_cast<int32_t>(reinterpret_cast<intptr_t>(guard) - 1));
  return 0;
}

int32_t simt_current_stream(int32_t index, void** stream) {
  *stream = simt::card.current_stream(index >= 0 ? index : simt::card.current_device());
  return 0;
}

}  // extern "C"
