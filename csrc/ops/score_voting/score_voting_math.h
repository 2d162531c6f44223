// The vote of one box in score voting (PAA, section 3.3): weight = score * exp(-(1 - IoU)^2 / sigma). Torch-free.
#pragma once

#include "ops/iou/iou_math.h"

namespace colad {

struct VotingOptions {
  double sigma, iou_threshold, score_threshold;
};

template <typename T>
COLAD_HD bool has_finite_corners(const Box<T>& b) {
  return is_finite(b.x1) & is_finite(b.y1) & is_finite(b.x2) & is_finite(b.y2);
}

// The weight of the box `voter` in the vote for the box `voted`. It is 0 if the voter does not vote: its score or its
// IoU is not above the threshold, or its score or a coordinate is infinite.
template <typename T>
COLAD_HD T vote_weight(const Box<T>& voted, const Box<T>& voter, T score, const VotingOptions& options) {
  if (!(score > static_cast<T>(options.score_threshold)) || !is_finite(score)) {
    return T(0);
  }
  const T iou = iou_of(voted, box_area(voted), voter, box_area(voter));
  const T sigma = static_cast<T>(options.sigma);  // may be 0 in T
  if (!(iou > static_cast<T>(options.iou_threshold)) || sigma == T(0) || !has_finite_corners(voter)) {
    return T(0);
  }
  return score * std::exp(-(T(1) - iou) * (T(1) - iou) / sigma);
}

template <typename T>
struct VoteSums {
  T weight, x1, y1, x2, y2;
};

template <typename T>
COLAD_HD void add_vote(VoteSums<T>& sums, const Box<T>& voter, T weight) {
  if (weight > T(0)) {  // a box that does not vote may have any coordinates, also NaN
    sums.weight += weight;
    sums.x1 += weight * voter.x1, sums.y1 += weight * voter.y1;
    sums.x2 += weight * voter.x2, sums.y2 += weight * voter.y2;
  }
}

// A box without voters stays as it is.
template <typename T>
COLAD_HD Box<T> voted_box(const VoteSums<T>& sums, const Box<T>& box) {
  if (!(sums.weight > T(0))) {
    return box;
  }
  return {sums.x1 / sums.weight, sums.y1 / sums.weight, sums.x2 / sums.weight, sums.y2 / sums.weight};
}

}  // namespace colad
