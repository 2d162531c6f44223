// Current device and current stream of the cards, as torch asks for them. All work is done when it is submitted, so a
// stream is a number that the log of a launch has.
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <array>
#include <memory>

#include "card_state.h"

namespace simt {
namespace {

constexpr auto kType = c10::DeviceType::PrivateUse1;

thread_local int current = 0;
thread_local std::array<c10::StreamId, kCards> streams{};
c10::StreamId last_stream = 0;
bool waiting_is_an_error = false;

c10::Device card_at(int index) { return {kType, static_cast<c10::DeviceIndex>(index)}; }

struct CardGuard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const c10::Device before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return card_at(current); }
  void setDevice(c10::Device device) const override { set_current_card(device.index()); }
  void uncheckedSetDevice(c10::Device device) const noexcept override { current = device.index(); }
  c10::DeviceIndex deviceCount() const noexcept override { return kCards; }

  c10::Stream getStream(c10::Device device) const override { return current_stream(device.index()); }
  c10::Stream getDefaultStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream getNewStream(c10::Device device, int) const override {
    return c10::Stream(c10::Stream::UNSAFE, device.has_index() ? device : getDevice(), ++last_stream);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override { return getNewStream(device, 0); }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    const c10::Stream before = current_stream(stream.device_index());
    streams[stream.device_index()] = stream.id();
    return before;
  }
  void* getStreamNativeHandle(const c10::Stream stream) const override { return reinterpret_cast<void*>(stream.id()); }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { wait("stream"); }
  void synchronizeDevice(c10::DeviceIndex) const override { wait("device"); }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, CardGuard)

struct CardHooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return kCards; }
  c10::DeviceIndex getCurrentDevice() const override { return static_cast<c10::DeviceIndex>(current); }
  void setCurrentDevice(c10::DeviceIndex device) const override { set_current_card(device); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    const c10::DeviceIndex before = getCurrentDevice();
    set_current_card(device);
    return before;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override {
    return device < 0 ? getCurrentDevice() : exchangeDevice(device);
  }
};

struct Registration {
  Registration() {
    c10::register_privateuse1_backend("simt");
    at::RegisterPrivateUse1HooksInterface(new CardHooks());
    card.type_of_cuda = static_cast<int32_t>(kType);
    card.type_of_cpu = static_cast<int32_t>(c10::DeviceType::CPU);
    card.allocates = true;
    card.current_device = [] { return current_card(); };
    card.set_device = [](int32_t index) { set_current_card(index); };
    card.current_stream = [](int32_t index) { return reinterpret_cast<void*>(current_stream(index).id()); };
    card.unlock = unlock;
    card.lock = lock;
  }
} registration;

}  // namespace

void wait(const std::string& why) {
  record("wait\t" + why);
  TORCH_CHECK(!waiting_is_an_error, "the host waits for the card: ", why);
}

int current_card() { return current; }

void set_current_card(int index) {
  TORCH_CHECK(index >= 0 && index < kCards, "there is no card ", index);
  current = index;
}

c10::Stream current_stream(int index) { return c10::Stream(c10::Stream::UNSAFE, card_at(index), streams[index]); }

}  // namespace simt

extern "C" __attribute__((visibility("default"))) void simt_card_forbid_waiting(int forbid) {
  simt::waiting_is_an_error = forbid != 0;
}
