// The memory that a launch was given, and what is remembered of each byte.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "device.h"
#include "releases.h"

namespace simt {

// The last access and one before it, by a thread farther away if there was one: of another block rather than of another
// warp, of another warp rather than of the same.
struct History {
  Trace last, other;
};

struct Byte {
  History writes, reads;
};

// What a block in flight has in a shared variable: the part that it has touched.
struct SharedCopy {
  std::unique_ptr<Byte[]> bytes;
  std::vector<char> contents;
  uintptr_t low = 0, high = 0;
};

struct Range {
  uintptr_t begin, end;
  Origin origin;
  std::unique_ptr<Byte[]> bytes;  // of what can be written and is not shared memory
  SharedCopy copies[kMostInFlight];

  bool read_only() const { return origin == Origin::input || origin == Origin::arguments; }
  bool host_wrote(uintptr_t address) const;
  // The memory [first, first + size) of the running block.
  Byte* remembered(uintptr_t first, size_t size);
};

Range* find_range(uintptr_t address);  // or null
std::string nearest_range(uintptr_t address);
const char* name_of(Origin origin);

}  // namespace simt
