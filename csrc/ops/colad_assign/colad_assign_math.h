// Which of several networks assigns an object: the indicators of equation (3) of the paper, and the rules that compare
// them. Torch-free.
#pragma once

#include "ops/split_candidates/split_candidates_math.h"

namespace colad {

enum class Indicator { std_mean, fisher };
enum class Granularity { iteration, image, object, object_level };

// sigma / mu of an object's costs. NaN if it is undefined: no sigma, or the mean is 0.
COLAD_HD double std_over_mean(double mean, double std) {
  return mean == 0.0 ? std::numeric_limits<double>::quiet_NaN() : std / mean;
}

// (mu+ - mu-)^2 / (sigma+^2 + sigma-^2)
COLAD_HD double fisher_score(const Mixture& mixture) {
  const double apart = mixture.mean[1] - mixture.mean[0];
  return apart * apart / (mixture.variance[0] + mixture.variance[1]);
}

// The sum and the number of the indicators that are not NaN.
struct IndicatorSum {
  double sum = 0.0, count = 0.0;

  COLAD_HD void add(double value) {
    if (value == value) {
      sum += value;
      count += 1.0;
    }
  }
  COLAD_HD double mean() const { return count > 0.0 ? sum / count : std::numeric_limits<double>::quiet_NaN(); }
};

// The network with the highest value(network), the first one of equals. NaN loses to every number.
template <typename Value>
COLAD_HD int64_t first_of_highest(int64_t networks, Value value) {
  const auto number = [&](int64_t network) {
    const double x = value(network);
    return x == x ? x : -std::numeric_limits<double>::infinity();
  };
  int64_t best = 0;
  for (int64_t network = 1; network < networks; ++network) {
    best = number(network) > number(best) ? network : best;
  }
  return best;
}

// The network that assigns one level of an object, as in the official code; -1 if there is no candidate.
//
// Networks are compared one after the other. With several candidates the highest indicator wins, and of equals the last
// network. If one of two indicators is undefined, the earlier network stays, unless it has fewer than two candidates
// and the later one has more (costs may be NaN). With one candidate the lowest mean wins, and of equals the first
// network.
template <typename Count, typename Mean, typename Value>
COLAD_HD int64_t teacher_of_level(int64_t networks, Count count, Mean mean, Value value) {
  int64_t last = 0, most = count(0);
  for (int64_t network = 1; network < networks; ++network) {
    most = count(network) > most ? count(network) : most;
    if (value(network) >= value(last) || (count(last) < 2 && count(network) > 1)) {
      last = network;
    }
  }
  if (most == 0) {
    return -1;
  }
  return most > 1 ? last : first_of_highest(networks, [&](int64_t network) { return -mean(network); });
}

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
