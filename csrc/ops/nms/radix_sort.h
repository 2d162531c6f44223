// A stable sort of rows by unsigned keys, byte by byte. Its time grows with the number of rows only; bytes that are the
// same in all keys cost nothing.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace colad {

template <typename Key>
struct KeyedRow {
  Key key;
  uint32_t row;
};

// Sorts `rows` by ascending key; equal keys keep their order. `spare` is scratch memory.
template <typename Key>
void sort_by_key(std::vector<KeyedRow<Key>>& rows, std::vector<KeyedRow<Key>>& spare) {
  constexpr int kDigits = 256;
  const size_t count = rows.size();
  std::array<std::array<uint32_t, kDigits>, sizeof(Key)> places{};
  for (const KeyedRow<Key>& r : rows) {
    for (size_t byte = 0; byte < sizeof(Key); ++byte) {
      ++places[byte][(r.key >> (8 * byte)) % kDigits];
    }
  }
  spare.resize(count);
  for (size_t byte = 0; byte < sizeof(Key) && count > 0; ++byte) {
    std::array<uint32_t, kDigits>& place = places[byte];
    if (place[(rows[0].key >> (8 * byte)) % kDigits] == count) {
      continue;
    }
    uint32_t next = 0;
    for (uint32_t& p : place) {
      next += std::exchange(p, next);
    }
    for (const KeyedRow<Key>& r : rows) {
      spare[place[(r.key >> (8 * byte)) % kDigits]++] = r;
    }
    rows.swap(spare);
  }
}

}  // namespace colad
