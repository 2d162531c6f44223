// The split of an object's samples into positives and others by its fitted mixture, and cost statistics. Torch-free.
#pragma once

#include <limits>

#include "ops/gmm_em/gmm_em_math.h"
#include "ops/match_anchors/match_codes.h"

namespace colad {

enum class Split { peak, posterior, band };
enum class SingleCandidate { keep, drop };
enum class NoComponent0 { all, none };

struct SplitOptions {
  int64_t topk;  // the number of cheapest candidates kept for each object and level: the samples
  MixtureOptions mixture;
  Split split;
  SingleCandidate single_candidate;  // keep: an object's only candidate is positive; drop: it is background
  NoComponent0 no_component0;        // which samples are positive if none belongs to component 0
  bool prefix;                       // all samples up to the cut are positive, and always the cheapest one
};

// A summary of the samples of an object, sorted by cost. `peak` is the position of the component-0 sample with the
// highest likelihood (the first of equals), -1 if there is none.
struct SplitPlan {
  int64_t count, peak;
};

// A candidate for the peak; position -1 is none. Of two candidates the better one has the higher likelihood, at a tie
// the lower (cheaper) position.
struct Peak {
  double log_likelihood;
  int64_t position;
};

COLAD_HD Peak better_peak(Peak a, Peak b) {
  if (a.position < 0 || b.position < 0) {
    return a.position < 0 ? b : a;
  }
  // NaN (a mixture without a density: reg_covar = 0 and equal values) loses to any likelihood.
  const bool a_nan = a.log_likelihood != a.log_likelihood, b_nan = b.log_likelihood != b.log_likelihood;
  if (a_nan || b_nan || a.log_likelihood == b.log_likelihood) {
    return a_nan != b_nan ? (a_nan ? b : a) : (b.position < a.position ? b : a);
  }
  return b.log_likelihood > a.log_likelihood ? b : a;
}

enum class Fate { background, positive, ignored };

// The fate of the sample at `position` (0 is the cheapest). `label` is its more probable component.
COLAD_HD Fate fate_of(int64_t position, int label, const SplitPlan& plan, const SplitOptions& options) {
  if (plan.count == 1) {
    return options.single_candidate == SingleCandidate::keep ? Fate::positive : Fate::background;
  }
  if (plan.peak < 0) {
    return options.no_component0 == NoComponent0::all ? Fate::positive : Fate::background;
  }
  if (options.split == Split::posterior) {
    return label == 0 || (options.prefix && position == 0) ? Fate::positive : Fate::background;
  }
  if (position <= plan.peak) {
    return options.prefix || label == 0 ? Fate::positive : Fate::background;
  }
  return options.split == Split::band && label == 0 ? Fate::ignored : Fate::background;
}

// A key is a cost and its anchor as one integer, which sorts by cost, then by anchor. The upper half holds the bits of
// the cost, changed so that they have the order of the costs. The lower half holds the anchor's index in its image.
constexpr uint64_t kNoSample = ~uint64_t(0);

COLAD_HD uint64_t sample_key(float cost, int64_t anchor) {
  union {
    float f;
    uint32_t u;
  } bits{cost + 0.0f};  // -0 becomes +0: the two are equal costs
  const uint32_t ordered = (bits.u & 0x80000000u) ? ~bits.u : (bits.u | 0x80000000u);
  return (uint64_t(ordered) << 32) | uint64_t(uint32_t(anchor));
}

COLAD_HD float sample_cost(uint64_t key) {
  const uint32_t ordered = uint32_t(key >> 32);
  union {
    uint32_t u;
    float f;
  } bits{(ordered & 0x80000000u) ? (ordered & 0x7fffffffu) : ~ordered};
  return bits.f;
}

COLAD_HD int64_t sample_anchor(uint64_t key) { return int64_t(uint32_t(key)); }

// The keys of anchors whose cost is infinite or NaN start here. Such an anchor is no candidate.
constexpr uint64_t kFirstExcluded = uint64_t(0xffffffff) << 32;

// The key of a matched anchor with any cost.
COLAD_HD uint64_t candidate_key(float cost, int64_t anchor) {
  return is_finite(cost) ? sample_key(cost, anchor) : kFirstExcluded | uint64_t(uint32_t(anchor));
}

// Count, mean and sum of squared deviations of a set of values. merge() adds a value or a set in one pass, without
// cancellation (Chan et al. 1983). It is symmetric: merge(a, b) and merge(b, a) are the same bits.
struct Moments {
  double count, mean, squares;
};

COLAD_HD Moments merge(const Moments& a, const Moments& b) {
  const double count = a.count + b.count;
  if (count == 0.0) {
    return {0.0, 0.0, 0.0};
  }
  const double apart = a.mean - b.mean;
  return {count, (a.count * a.mean + b.count * b.mean) / count,
          (a.squares + b.squares) + apart * apart * (a.count * b.count / count)};
}

// Mean and unbiased standard deviation, from sums of two passes. The mean of no value and the standard deviation of
// fewer than two values are NaN.
COLAD_HD double mean_of(double sum, int64_t count) {
  return count > 0 ? sum / double(count) : std::numeric_limits<double>::quiet_NaN();
}

COLAD_HD double std_of(double squares, int64_t count) {
  return count > 1 ? std::sqrt(squares / double(count - 1)) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace colad
