#include "ranges.h"

#include <cstring>
#include <map>

namespace simt {
namespace {

constexpr unsigned char kPoison = 0xCB;

std::map<uintptr_t, Range> ranges;  // by their begin
Range* last_range = nullptr;
std::vector<Range*> touched[kMostInFlight];  // the shared variables of each place

void erase_overlapping(uintptr_t begin, uintptr_t end) {
  auto first = ranges.lower_bound(begin);
  if (first != ranges.begin() && std::prev(first)->second.end > begin) {
    --first;
  }
  ranges.erase(first, ranges.lower_bound(end));
}

}  // namespace

Byte* Range::remembered(uintptr_t first, size_t size) {
  if (origin != Origin::shared) {
    return bytes.get() + (first - begin);
  }
  SharedCopy& copy = copies[device.place];
  if (copy.high == 0) {
    copy.low = first, copy.high = first + size;
    touched[device.place].push_back(this);
    if (copy.bytes == nullptr) {
      copy.bytes = std::make_unique<Byte[]>(end - begin);
      copy.contents.resize(end - begin);
    }
  }
  copy.low = std::min(copy.low, first);
  copy.high = std::max(copy.high, first + size);
  return copy.bytes.get() + (first - begin);
}

bool Range::host_wrote(uintptr_t address) const {
  return origin == Origin::copy || *reinterpret_cast<unsigned char*>(address) != kPoison;
}

Range* find_range(uintptr_t address) {
  if (last_range == nullptr || address < last_range->begin || address >= last_range->end) {
    const auto after = ranges.upper_bound(address);
    Range* const range = after == ranges.begin() ? nullptr : &std::prev(after)->second;
    if (range == nullptr || address >= range->end) {
      return nullptr;
    }
    last_range = range;
  }
  return last_range;
}

std::string nearest_range(uintptr_t address) {
  std::string name = "nothing";
  uintptr_t least = 4096;
  for (const auto& [begin, range] : ranges) {
    const bool after = address >= range.end;
    const uintptr_t distance = after ? address - range.end + 1 : begin - address;
    if (distance < least) {
      least = distance;
      name = std::to_string(distance) + " bytes " + (after ? "past the end" : "before the start") + " of " +
             name_of(range.origin);
    }
  }
  return name;
}

const char* name_of(Origin origin) {
  constexpr const char* names[] = {"an input", "the arguments", "a copy", "an output", "shared memory"};
  return names[static_cast<int>(origin)];
}

void begin_block(unsigned place) {
  for (Range* range : touched[place]) {
    range->copies[place].low = range->copies[place].high = 0;
  }
  touched[place].clear();
}

void change_place(unsigned from, unsigned to) {
  for (Range* range : touched[from]) {
    SharedCopy& copy = range->copies[from];
    std::memcpy(copy.contents.data() + (copy.low - range->begin), reinterpret_cast<void*>(copy.low),
                copy.high - copy.low);
  }
  for (Range* range : touched[to]) {
    SharedCopy& copy = range->copies[to];
    std::memcpy(reinterpret_cast<void*>(copy.low), copy.contents.data() + (copy.low - range->begin),
                copy.high - copy.low);
  }
}

void hand_over(const void* data, size_t bytes, Origin origin) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  last_range = nullptr;
  erase_overlapping(begin, begin + std::max<size_t>(bytes, 1));
  if (bytes == 0) {
    return;
  }
  if (origin == Origin::scratch) {
    std::memset(const_cast<void*>(data), kPoison, bytes);
  }
  Range& range = ranges[begin];
  range.begin = begin, range.end = begin + bytes, range.origin = origin;
  if (!range.read_only() && origin != Origin::shared) {
    range.bytes = std::make_unique<Byte[]>(bytes);
  }
}

void forget(Origin origin) {
  last_range = nullptr;
  std::erase_if(ranges, [&](const auto& range) { return range.second.origin == origin; });
}

}  // namespace simt

#pragma GCC visibility push(default)
extern "C" {

// Where the library lies: known by name to the loader.
char simt_anchor = 0;

void simt_hand_over(const void* data, size_t bytes, int shared) {
  simt::hand_over(data, bytes, shared ? simt::Origin::shared : simt::Origin::input);
}
void simt_forget() {
  simt::forget(simt::Origin::input);
  simt::forget(simt::Origin::scratch);
  simt::forget(simt::Origin::copy);
}

}  // extern "C"
