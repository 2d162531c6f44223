// A group of candidates that the CPU processes together, and the code that reads their predictions. The candidates of
// an object fill parts of rows of anchors. So neighbours in a group are mostly neighbours in memory, and are copied a
// vector at a time.
#pragma once

#include <cstring>

#include "common/half_arrays.h"
#include "common/level_views.h"

namespace colad {

constexpr int64_t kGroup = 512;  // measured: 256 are 2 % slower
constexpr int64_t kWidth = 16;   // floats of the widest vector

// Candidates of one image, on one level of the logits and on one level of the boxes, in ascending order.
struct Group {
  LevelView logits, boxes;
  int64_t image, count;
  int64_t anchor[kGroup], row[kGroup];
};

// Runs of candidates that are neighbours in a channel of one of the group's views. A run has at most kWidth elements.
struct Runs {
  int64_t first[kGroup], length[kGroup];  // in elements of the channel
  int64_t slot[kGroup];                   // place of the run's first candidate in the group
  int64_t count;
  bool single;  // no candidate has a neighbour, as where the channels of an anchor are neighbours in memory
};

inline Runs runs_of(const Group& group, const LevelView& view) {
  Runs runs;
  int64_t r = -1;
  for (int64_t i = 0; i < group.count; ++i) {
    const int64_t element = (group.anchor[i] - view.first_anchor) * view.stride_anchor;
    if (r >= 0 && element == runs.first[r] + runs.length[r] && runs.length[r] < kWidth) {
      ++runs.length[r];
    } else {
      runs.first[++r] = element;
      runs.length[r] = 1;
      runs.slot[r] = i;
    }
  }
  runs.count = r + 1;
  runs.single = runs.count == group.count;
  return runs;
}

// Prefetches the cache lines of a channel into the second-level cache. More loads can be in flight to that cache than
// to the first-level cache.
template <typename T>
void prefetch_channel(const T* channel, const Runs& runs) {
  for (int64_t r = 0; r < runs.count; ++r) {
    __builtin_prefetch(channel + runs.first[r], /*rw=*/0, /*locality=*/2);
    if (!runs.single) {
      __builtin_prefetch(channel + runs.first[r] + runs.length[r] - 1, /*rw=*/0, /*locality=*/2);
    }
  }
}

template <CpuCapability cpu, int64_t kCount, typename T>
void copy_elements(const T* from, float* to) {
  if constexpr (kConvertsHalves<cpu, T, float>) {
    convert_halves(from, kCount, to);
    return;
  }
  T elements[kCount];
  std::memcpy(elements, from, sizeof elements);
  for (int64_t k = 0; k < kCount; ++k) {
    to[k] = static_cast<float>(elements[k]);
  }
}

// Copies the first and the last kCount of `length` elements, which may overlap.
template <CpuCapability cpu, int64_t kCount, typename T>
void copy_both_ends(const T* from, int64_t length, float* to) {
  copy_elements<cpu, kCount>(from, to);
  copy_elements<cpu, kCount>(from + length - kCount, to + length - kCount);
}

// Copies the candidates' elements of a channel. It reads no other element: that one might be in a cache line that was
// not prefetched.
template <CpuCapability cpu, typename T>
void copy_channel(const T* channel, const Runs& runs, float* to) {
  if (runs.single) {
    for (int64_t r = 0; r < runs.count; ++r) {
      convert<cpu>(channel[runs.first[r]], to[r]);
    }
    return;
  }
  for (int64_t r = 0; r < runs.count; ++r) {
    const T* from = channel + runs.first[r];
    float* slot = to + runs.slot[r];
    const int64_t length = runs.length[r];
    if (length == kWidth) {
      copy_elements<cpu, kWidth>(from, slot);
    } else if (length >= 8) {
      copy_both_ends<cpu, 8>(from, length, slot);
    } else if (length >= 4) {
      copy_both_ends<cpu, 4>(from, length, slot);
    } else if (length >= 2) {
      copy_both_ends<cpu, 2>(from, length, slot);
    } else {
      copy_elements<cpu, 1>(from, slot);
    }
  }
}

// The channels of the group's image.
template <typename T>
const T* channels_of(const Group& group, const LevelView& view) {
  return static_cast<const T*>(view.data) + group.image * view.stride_image;
}

}  // namespace colad
