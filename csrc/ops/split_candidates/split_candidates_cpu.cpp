// split_candidates and cost_statistics on the CPU: images in parallel. The candidates of an image are sorted into one
// bucket an object, once.
#include "ops/split_candidates/split_candidates_cpu.h"

#include <algorithm>

#include "common/cpu_capability.h"
#include "ops/match_anchors/matched_anchors.h"
#include "ops/split_candidates/cost_statistics.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 13;  // with the fits of their objects, over 100 us of work

// Whether a match of an image is valid: one of the image's objects first..end, background or ignored. Has no branches,
// so a loop over it is vectorised.
bool is_match(int64_t row, int64_t first, int64_t end) {
  return (row == kBackground) | (row == kIgnored) | ((row >= first) & (row < end));
}

void split_object(const SplitParams& p, int64_t image, int64_t row, uint64_t* keys, int64_t count, FitBuffer& buffer) {
  const MeanAndStd moments = moments_of(keys, count);
  const EmResult fit = fit_samples(p, keys, count, buffer);
  const int64_t samples = buffer.count();
  const auto label = [&](int64_t i) { return static_cast<int>(buffer.label()[i]); };
  Peak peak{0.0, -1};
  for (int64_t i = 0; i < samples; ++i) {
    peak = better_peak(peak, {buffer.log_likelihood()[i], label(i) == 0 ? i : -1});
  }
  int64_t num_pos = 0;
  for (int64_t i = 0; i < samples; ++i) {
    const Fate fate = fate_of(i, label(i), {samples, peak.position}, p.options);
    p.matched[image * p.candidates.anchor_count + sample_anchor(keys[i])] = outcome(fate, row);
    num_pos += fate == Fate::positive;
  }
  write_object(p, row, fit.mixture, moments.mean, moments.std, num_pos);
}

// Calls visit(image, scratch) for every image, in parallel. Each thread has its own scratch memory.
template <typename VisitImage>
void for_each_image(const CandidateParams& p, VisitImage visit) {
  const int64_t grain = kAnchorsAThread / (p.anchor_count + 1) + 1;
  torch::stable::parallel_for(0, p.images, grain, [&](int64_t begin, int64_t end) {
    SplitScratch scratch;
    for (int64_t image = begin; image < end; ++image) {
      visit(image, scratch);
    }
  });
}

struct SplitCandidatesCpu {
  static constexpr int64_t kSamplesInPlace = INT64_MAX;

  static void run(const SplitCall& call) {
    const SplitParams& p = call.params;
    check_matches(p.candidates);
    for_each_image(p.candidates, [&](int64_t image, SplitScratch& scratch) { split_image(p, image, scratch); });
  }
};

struct CostStatisticsCpu {
  static void run(const StatisticsCall& call) {
    const StatisticsParams& p = call.params;
    check_matches(p.candidates);
    for (int64_t network = 0; network < p.networks; ++network) {
      const CandidateParams candidates = p.of_network(network);
      for_each_image(candidates, [&](int64_t image, SplitScratch& scratch) {
        scratch.buckets.fill(candidates, image);
        for_each_object(candidates, image, scratch.buckets, [&](int64_t row, uint64_t* keys, int64_t count) {
          for_each_level(candidates, keys, keys + count, [&](int level, uint64_t* begin, uint64_t* end) {
            const int64_t i = (network * candidates.objects + row) * candidates.levels + level;
            const MeanAndStd moments = moments_of(begin, end - begin);
            p.count[i] = end - begin;
            p.mean[i] = moments.mean;
            p.std[i] = moments.std;
          });
        });
      });
    }
  }
};

}  // namespace

void Buckets::fill(const CandidateParams& p, int64_t image) {
  const int64_t first = p.gt_offsets[image], objects = p.gt_offsets[image + 1] - first;
  const int64_t* matched = p.matched + image * p.anchor_count;
  const float* cost = p.cost + image * p.anchor_count;
  found_.clear();
  object_of_.clear();
  begin.assign(objects + 1, 0);
  for_each_matched(matched, 0, p.anchor_count, [&](int64_t anchor, int64_t row) {
    if (p.is_candidate(image, anchor, row)) {
      found_.push_back(sample_key(cost[anchor], anchor));
      object_of_.push_back(row - first);
      ++begin[row - first + 1];
    }
  });
  for (int64_t object = 0; object < objects; ++object) {
    begin[object + 1] += begin[object];
  }
  keys.resize(found_.size());
  next_.assign(begin.begin(), begin.end() - 1);
  for (size_t i = 0; i < found_.size(); ++i) {
    keys[next_[object_of_[i]]++] = found_[i];
  }
}

void check_matches(const CandidateParams& p) {
  for (int64_t image = 0; image < p.images; ++image) {
    const int64_t* matched = p.matched + image * p.anchor_count;
    const int64_t first = p.gt_offsets[image], end = p.gt_offsets[image + 1];
    int64_t bad = 0;
    for (int64_t anchor = 0; anchor < p.anchor_count; ++anchor) {
      bad += !is_match(matched[anchor], first, end);
    }
    for (int64_t anchor = 0; bad > 0 && anchor < p.anchor_count; ++anchor) {
      check(is_match(matched[anchor], first, end), "matched should be -1, -2 or a row of the image's objects, ", first,
            "..", end - 1, ", got ", matched[anchor], " at image ", image, ", anchor ", anchor);
    }
  }
}

MeanAndStd moments_of(const uint64_t* keys, int64_t count) {
  double sum = 0.0, squares = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    sum += sample_cost(keys[i]);
  }
  const double mean = mean_of(sum, count);
  for (int64_t i = 0; i < count; ++i) {
    squares += (sample_cost(keys[i]) - mean) * (sample_cost(keys[i]) - mean);
  }
  return {mean, std_of(squares, count)};
}

EmResult fit_samples(const SplitParams& p, uint64_t* keys, int64_t count, FitBuffer& buffer) {
  uint64_t* samples_end = keys;
  for_each_level(p.candidates, keys, keys + count, [&](int, uint64_t* begin, uint64_t* end) {
    const int64_t kept = std::min<int64_t>(p.options.topk, end - begin);
    std::nth_element(begin, begin + kept, end);
    samples_end = samples_end == begin ? begin + kept : std::copy(begin, begin + kept, samples_end);
  });
  std::sort(keys, samples_end);
  const int64_t samples = samples_end - keys;
  buffer.resize(samples);
  double* const costs = buffer.value();
  for (int64_t i = 0; i < samples; ++i) {
    costs[i] = sample_cost(keys[i]);
  }
  return fit_and_score(buffer, p.options.mixture);
}

void split_image(const SplitParams& p, int64_t image, SplitScratch& scratch) {
  const int64_t anchors = p.candidates.anchor_count;
  // From here on only the buckets are read, so the matches may be overwritten.
  scratch.buckets.fill(p.candidates, image);
  const int64_t* in = p.candidates.matched + image * anchors;
  int64_t* out = p.matched + image * anchors;
  vectorised([=] {
    for (int64_t i = 0; i < anchors; ++i) {
      out[i] = unclaimed(in[i]);
    }
  });
  for_each_object(p.candidates, image, scratch.buckets, [&](int64_t row, uint64_t* keys, int64_t count) {
    split_object(p, image, row, keys, count, scratch.fit);
  });
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("split_candidates", COLAD_BOX(&colad::split_candidates_op<colad::SplitCandidatesCpu>));
  m.impl("cost_statistics", COLAD_BOX(&colad::cost_statistics_op<colad::CostStatisticsCpu>));
}
