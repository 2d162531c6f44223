// Candidates taken together on the CPU, and the reading of their predictions. An object's candidates fill rows of
// anchors: neighbours in a group are mostly neighbours in memory, and are copied a vector at a time.
#pragma once

#include <cstring>

#include "common/level_views.h"

namespace colad {

constexpr int64_t kGroup = 512;  // measured: 256 are 2 % slower
constexpr int64_t kWidth = 16;   // floats of the widest vector

// Candidates of one image, on one level of the logits and one of the boxes, ascending.
struct Group {
  LevelView logits, boxes;
  int64_t image, count;
  int64_t anchor[kGroup], row[kGroup];
};

// Stretches of neighbours in a channel of one of a group's views, of kWidth elements at most.
struct Runs {
  int64_t first[kGroup], length[kGroup];  // elements of the channel
  int64_t slot[kGroup];                   // of the first, in the group
  int64_t count;
  bool single;  // none has a neighbour, as where channels lie side by side
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

// Asks for the cache lines of a channel. Into the second cache: more of them may be under way than into the first.
template <typename T>
void prefetch_channel(const T* channel, const Runs& runs) {
  for (int64_t r = 0; r < runs.count; ++r) {
    __builtin_prefetch(channel + runs.first[r], /*rw=*/0, /*locality=*/2);
    if (!runs.single) {
      __builtin_prefetch(channel + runs.first[r] + runs.length[r] - 1, /*rw=*/0, /*locality=*/2);
    }
  }
}

template <int64_t kCount, typename T>
void copy_elements(const T* from, float* to) {
  T elements[kCount];
  std::memcpy(elements, from, sizeof elements);
  for (int64_t k = 0; k < kCount; ++k) {
    to[k] = static_cast<float>(elements[k]);
  }
}

// Copies the first and the last kCount of `length` elements, which may overlap.
template <int64_t kCount, typename T>
void copy_both_ends(const T* from, int64_t length, float* to) {
  copy_elements<kCount>(from, to);
  copy_elements<kCount>(from + length - kCount, to + length - kCount);
}

// Copies the candidates' elements of a channel, and reads no other: each might lie in a cache line nobody asked for.
template <typename T>
void copy_channel(const T* channel, const Runs& runs, float* to) {
  if (runs.single) {
    for (int64_t r = 0; r < runs.count; ++r) {
      to[r] = static_cast<float>(channel[runs.first[r]]);
    }
    return;
  }
  for (int64_t r = 0; r < runs.count; ++r) {
    const T* from = channel + runs.first[r];
    float* slot = to + runs.slot[r];
    const int64_t length = runs.length[r];
    if (length == kWidth) {
      copy_elements<kWidth>(from, slot);
    } else if (length >= 8) {
      copy_both_ends<8>(from, length, slot);
    } else if (length >= 4) {
      copy_both_ends<4>(from, length, slot);
    } else if (length >= 2) {
      copy_both_ends<2>(from, length, slot);
    } else {
      copy_elements<1>(from, slot);
    }
  }
}

// The channels of the group's image.
template <typename T>
const T* channels_of(const Group& group, const LevelView& view) {
  return static_cast<const T*>(view.data) + group.image * view.stride_image;
}

}  // namespace colad
