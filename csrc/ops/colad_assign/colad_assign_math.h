// Of several networks, whose cost an anchor gets, and how the networks' indicators are averaged. Torch-free.
#pragma once

#include "ops/split_candidates/split_candidates_math.h"

namespace colad {

// Mean of the indicators that are defined (not NaN), in the order they come: the same bits in whatever batch.
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

// A network that does not exist (-1: none was chosen) is the first.
COLAD_HD int64_t network_or_first(int64_t chosen, int64_t networks) {
  return chosen < 0 || chosen >= networks ? 0 : chosen;
}

// The level of an anchor, from where each level begins.
COLAD_HD int level_of(int64_t anchor, const int64_t* level_begin) {
  int level = 0;
  while (anchor >= level_begin[level + 1]) {
    ++level;
  }
  return level;
}

}  // namespace colad
