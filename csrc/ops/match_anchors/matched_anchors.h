// Loop over the anchors of an image that are matched to an object. Most are not: the loop skips kAnchorsAtOnce at a
// time where none is matched.
#pragma once

#include <algorithm>
#include <cstdint>

namespace colad {

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
