// The anchors that are matched to an object, on the CPU: a check of the matches, and a loop over the anchors of an
// image. Most anchors are not matched: the loop skips kAnchorsAtOnce at a time where none is matched.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/check.h"
#include "common/cpu_capability.h"
#include "ops/match_anchors/match_codes.h"

namespace colad {

// Checks the values of `matched`, (images, anchors), before anything is computed.
inline void check_matched(const int64_t* matched, int64_t images, int64_t anchors, int64_t objects) {
  const auto exists = [objects](int64_t row) {  // kIgnored <= row < objects, in one comparison
    return static_cast<uint64_t>(row) - kIgnored < static_cast<uint64_t>(objects - kIgnored);
  };
  int64_t missing = 0;
  vectorised([=, count = images * anchors, result = &missing] {
    int64_t any = 0;
    for (int64_t i = 0; i < count; ++i) {
      any |= exists(matched[i]) ? 0 : 1;
    }
    *result = any;
  });
  for (int64_t i = 0; missing != 0 && i < images * anchors; ++i) {
    check(exists(matched[i]), "matched should be in -2..", objects - 1, ", got ", matched[i], " at image ", i / anchors,
          ", anchor ", i % anchors);
  }
}

constexpr int64_t kAnchorsAtOnce = 16;

// Calls visit(anchor, row) for the anchors begin..end, in order, whose row in `matched` is not negative.
template <typename Visit>
void for_each_matched(const int64_t* matched, int64_t begin, int64_t end, Visit visit) {
  for (int64_t first = begin; first < end; first += kAnchorsAtOnce) {
    const int64_t stop = std::min(first + kAnchorsAtOnce, end);
    int64_t all = -1;
    for (int64_t anchor = first; anchor < stop; ++anchor) {
      all &= matched[anchor];
    }
    if (all < 0) {  // then every one is negative: its sign bit is set
      continue;
    }
    for (int64_t anchor = first; anchor < stop; ++anchor) {
      if (matched[anchor] >= 0) {
        visit(anchor, matched[anchor]);
      }
    }
  }
}

}  // namespace colad
