// The anchors that are matched to an object, on the CPU: a check of the matches, and a loop over the anchors of an
// image. Most anchors are not matched: the loop skips kAnchorsAtOnce at a time where none is matched.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/check.h"
#include "ops/match_anchors/match_codes.h"

namespace colad {

// Checks the values of `matched`, (images, anchors), before anything is computed.
inline void check_matched(const int64_t* matched, int64_t images, int64_t anchors, int64_t objects) {
  int64_t least = kIgnored, most = -1;
  for (int64_t i = 0; i < images * anchors; ++i) {
    least = std::min(least, matched[i]);
    most = std::max(most, matched[i]);
  }
  if (least >= kIgnored && most < objects) {
    return;
  }
  for (int64_t i = 0; i < images * anchors; ++i) {
    check(matched[i] >= kIgnored && matched[i] < objects, "matched should be in -2..", objects - 1, ", got ",
          matched[i], " at image ", i / anchors, ", anchor ", i % anchors);
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
