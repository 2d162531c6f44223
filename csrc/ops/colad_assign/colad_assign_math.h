// Which of several networks gives an anchor its cost, and the mean of a network's indicators. Torch-free.
#pragma once

#include "ops/split_candidates/split_candidates_math.h"

namespace colad {

// The mean of the indicators that are not NaN, added in the order of the calls: the same bits in every batch.
struct IndicatorMean {
  double sum = 0.0;
  int64_t count = 0;

  COLAD_HD void add(double value) {
    if (value == value) {
      sum += value;
      ++count;
    }
  }
  COLAD_HD double mean() const { return mean_of(sum, count); }
};

// The chosen network, or the first one if `chosen` does not exist (-1: none was chosen).
COLAD_HD int64_t network_or_first(int64_t chosen, int64_t networks) {
  return chosen < 0 || chosen >= networks ? 0 : chosen;
}

// The level of an anchor. `level_begin` holds the first anchor of every level, and the end.
COLAD_HD int level_of(int64_t anchor, const int64_t* level_begin) {
  int level = 0;
  while (anchor >= level_begin[level + 1]) {
    ++level;
  }
  return level;
}

}  // namespace colad
