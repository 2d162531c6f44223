// The memory of the cards: one region of the process that is closed to everybody but kernels and copies. Memory that is
// given back goes to the next tensor of its size, as from torch's caching allocator.
#include <c10/core/Allocator.h>
#include <sys/mman.h>

#include <map>
#include <mutex>
#include <vector>

#include "card_state.h"

namespace simt {
namespace {

constexpr size_t kBytes = size_t(4) << 30;  // of addresses; pages that nobody touches cost nothing
constexpr size_t kAlignment = 512;          // of torch's caching allocator

char* const memory =
    static_cast<char*>(mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
std::mutex mutex;
size_t used = 0;
int unlocked = 0;
std::map<void*, std::pair<size_t, int>> given;                    // (rounded size, card)
std::map<std::pair<size_t, int>, std::vector<void*>> given_back;  // by them

void give_back(void* data) {
  const std::lock_guard guard(mutex);
  forget(data);
  const auto found = given.find(data);
  given_back[found->second].push_back(data);
  given.erase(found);
}

struct CardAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    const int index = current_card();
    const c10::Device device(c10::DeviceType::PrivateUse1, static_cast<c10::DeviceIndex>(index));
    if (bytes == 0) {
      return {nullptr, device};
    }
    const Unlocked unlocked;
    const std::lock_guard guard(mutex);
    // Some bytes between two tensors belong to none.
    const std::pair size((bytes / kAlignment + 1) * kAlignment, index);
    std::vector<void*>& free = given_back[size];
    void* data = memory + used;
    if (free.empty()) {
      TORCH_CHECK(used + size.first <= kBytes, "the card is out of memory");
      used += size.first;
    } else {
      data = free.back();
      free.pop_back();
    }
    given[data] = size;
    hand_over(data, bytes, Origin::scratch, index);
    record("allocate\t" + std::to_string(bytes) + '\t' + std::to_string(index));
    return {data, data, &give_back, device};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    const Unlocked unlocked;
    default_copy_data(to, from, bytes);
    host_wrote(to, bytes);
  }
};

CardAllocator allocator;
REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &allocator)

}  // namespace

void unlock() {
  const std::lock_guard guard(mutex);
  if (unlocked++ == 0) {
    mprotect(memory, kBytes, PROT_READ | PROT_WRITE);
  }
}

void lock() {
  const std::lock_guard guard(mutex);
  if (--unlocked == 0) {
    mprotect(memory, kBytes, PROT_NONE);
  }
}

}  // namespace simt

// Bytes that tensors hold, as torch.cuda.memory_allocated.
extern "C" __attribute__((visibility("default"))) size_t simt_card_bytes() {
  size_t bytes = 0;
  for (const auto& [data, size] : simt::given) {
    bytes += size.first;
  }
  return bytes;
}
