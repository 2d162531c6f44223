// Where the tensors of the emulated kernels are. Usually they are tensors on the CPU, which count as tensors on CUDA.
// When card/ is loaded, they are tensors on a card: a device of torch's type PrivateUse1, with a memory, a current
// device and streams of its own.
#pragma once

#include <cstdint>

struct DeviceGuardOpaque;

// Another library, that of card/, calls these.
#pragma GCC visibility push(default)

namespace simt {

struct Card {
  int32_t type_of_cuda = 0, type_of_cpu = -1;  // of torch's DeviceType: CPU is 0, no tensor is -1
  bool allocates = false;                      // the card hands its memory over itself
  int32_t (*current_device)() = [] { return 0; };
  void (*set_device)(int32_t index) = [](int32_t) {};
  void* (*current_stream)(int32_t index) = [](int32_t) -> void* { return nullptr; };
  void (*unlock)() = [] {}, (*lock)() = [] {};  // only between these two calls the memory of the cards is accessible
};

extern Card card;

struct CardUnlocked {
  CardUnlocked() { card.unlock(); }
  ~CardUnlocked() { card.lock(); }
};

}  // namespace simt

#pragma GCC visibility pop

// What the kernels' files call instead of torch's functions.
extern "C" {
int32_t simt_type_of_cuda();
int32_t simt_type_of_cpu();
int32_t simt_create_device_guard(int32_t index, DeviceGuardOpaque** guard);
int32_t simt_delete_device_guard(DeviceGuardOpaque* guard);
int32_t simt_current_stream(int32_t index, void** stream);
}
