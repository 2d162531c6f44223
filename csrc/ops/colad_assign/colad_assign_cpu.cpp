// Co-learning on the CPU: images in parallel.
#include "ops/assign_cost/assign_cost_cpu.h"
#include "ops/colad_assign/colad_split.h"
#include "ops/match_anchors/match_anchors_cpu.h"
#include "ops/match_anchors/matched_anchors.h"
#include "ops/split_candidates/split_candidates_cpu.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 13;  // with their costs and the fits, over 100 us of work

// Calls visit(image) for every image, in parallel. make_visit() is called once a thread.
template <typename MakeVisit>
void for_each_image(int64_t images, int64_t anchors, MakeVisit make_visit) {
  torch::stable::parallel_for(0, images, kAnchorsAThread / (anchors + 1) + 1, [&](int64_t begin, int64_t end) {
    auto visit = make_visit();
    for (int64_t image = begin; image < end; ++image) {
      visit(image);
    }
  });
}

// Writes the indicators of one network for the objects of an image, in the buckets of `scratch`.
void write_indicators(const IndicatorParams& p, const CandidateParams& candidates, int64_t network, int64_t image,
                      SplitScratch& scratch) {
  for_each_object(candidates, image, scratch.buckets, [&](int64_t row, uint64_t* keys, int64_t count) {
    const int64_t i = network * p.count() + row * p.values_an_object;
    const auto write = [&](int64_t at, const uint64_t* begin, int64_t n) {
      const MeanAndStd moments = moments_of(begin, n);
      p.counts[at] = n;
      p.means[at] = moments.mean;
      p.values[at] = std_over_mean(moments.mean, moments.std);
    };
    if (p.options.indicator == Indicator::fisher) {
      p.values[i] = fisher_score(fit_samples(p.split, keys, count, scratch.fit).mixture);
    } else if (p.options.granularity == Granularity::object_level) {
      for_each_level(candidates, keys, keys + count,
                     [&](int level, uint64_t* begin, uint64_t* end) { write(i + level, begin, end - begin); });
    } else {
      write(i, keys, count);
    }
  });
}

// Compares the networks. All indicators are written.
void write_choices(const IndicatorParams& p) {
  const CandidateParams& c = p.split.candidates;
  for (int64_t network = 0; network < p.networks; ++network) {
    const double* const values = p.values + network * p.count();
    IndicatorSum total;
    for (int64_t i = 0; i < p.count(); ++i) {
      total.add(values[i]);
    }
    p.totals[network] = total.sum;
    p.totals[p.networks + network] = total.count;
    for (int64_t image = 0; image < c.images; ++image) {
      IndicatorSum sum;
      for (int64_t i = c.gt_offsets[image] * p.values_an_object; i < c.gt_offsets[image + 1] * p.values_an_object;
           ++i) {
        sum.add(values[i]);
      }
      p.images[network * c.images + image] = sum.mean();
    }
  }
  for (int64_t i = 0; i < p.count(); ++i) {
    write_choice(p, i);
  }
}

struct ColadIndicatorsCpu {
  static constexpr int64_t kSamplesInPlace = INT64_MAX;

  static void run(const IndicatorCall& call) {
    const MatchParams& m = call.match.params;
    check_match_offsets(m);
    check_labels_exist(call.costs[0].params);
    dispatch_floating(call.match.dtype, [&]<typename T>() {
      const MatchAnchors<T> anchors(m);
      for_each_image(m.images, m.anchor_count, [&] {
        return [&, match_scratch = MatchScratch<T>(), scratch = SplitScratch()](int64_t image) mutable {
          match_image<T>(m, anchors, image, match_scratch, m.matched + image * m.anchor_count, nullptr);
          for (size_t network = 0; network < call.costs.size(); ++network) {
            CandidateParams candidates = call.params.split.candidates;
            candidates.cost = call.costs[network].params.cost;
            write_costs(call.costs[network].params, image, 0, m.anchor_count);
            scratch.buckets.fill(candidates, image);
            write_indicators(call.params, candidates, network, image, scratch);
          }
        };
      });
    });
    write_choices(call.params);
  }
};

struct ColadSplitCpu {
  static constexpr int64_t kSamplesInPlace = INT64_MAX;
  static constexpr bool kBuckets = false;

  static void run(const ColadSplitCall& call) {
    const ColadSplitParams& p = call.params;
    const SplitParams& split = call.split.params;
    const CandidateParams& c = split.candidates;
    check_matches(c);
    for (int64_t network = 0; network < p.networks; ++network) {
      p.indicators[network] = mean_indicator(p, network);
    }
    for (int64_t i = 0; i < c.objects * p.levels; ++i) {
      p.teacher[i] = teacher_of(p, i / p.levels, static_cast<int>(i % p.levels));
    }
    for_each_image(c.images, c.anchor_count, [&] {
      return [&, scratch = SplitScratch()](int64_t image) mutable {
        const int64_t first = image * c.anchor_count;
        std::fill_n(p.cost + first, c.anchor_count, kNoCost);
        for_each_matched(c.matched + first, 0, c.anchor_count, [&](int64_t anchor, int64_t row) {
          const int64_t chosen = p.teacher[row * p.levels + level_of(anchor, p.level_begin)];
          const int64_t network = network_or_first(chosen, p.networks);
          p.cost[first + anchor] = p.costs[network * c.images * c.anchor_count + first + anchor];
        });
        split_image(split, image, scratch);
      };
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("colad_indicators", COLAD_BOX(&colad::colad_indicators_op<colad::ColadIndicatorsCpu>));
  m.impl("colad_split", COLAD_BOX(&colad::colad_split_op<colad::ColadSplitCpu>));
}
