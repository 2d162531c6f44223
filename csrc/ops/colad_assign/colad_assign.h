// Contract of colad_indicators, the first half of co-learning: one matching, the costs of every network, the networks'
// indicators, and the network that each object's unit chooses.
#pragma once

#include "ops/assign_cost/assign_cost.h"
#include "ops/colad_assign/colad_assign_math.h"
#include "ops/match_anchors/match_anchors.h"
#include "ops/split_candidates/split_candidates.h"

namespace colad {

struct IndicatorOptions {
  Indicator indicator;
  Granularity granularity;
};

constexpr Choice<Granularity> kGranularity[] = {{"iteration", Granularity::iteration},
                                                {"image", Granularity::image},
                                                {"object", Granularity::object},
                                                {"object_level", Granularity::object_level}};

inline IndicatorOptions indicator_options(std::string_view indicator, std::string_view granularity) {
  constexpr Choice<Indicator> kIndicator[] = {{"std_mean", Indicator::std_mean}, {"fisher", Indicator::fisher}};
  const IndicatorOptions options{.indicator = choice(indicator, "indicator", kIndicator),
                                 .granularity = choice(granularity, "granularity", kGranularity)};
  check(options.granularity != Granularity::object_level || options.indicator == Indicator::std_mean,
        "granularity object_level should go with indicator std_mean, got ", indicator);
  return options;
}

template <>
inline constexpr auto kMakeOptions<IndicatorOptions> = &indicator_options;

// K networks, G objects, and L values an object: one a level with granularity object_level, else one.
struct IndicatorParams {
  SplitParams split;  // its costs are those of the first network; it has no outputs
  IndicatorOptions options;
  int64_t networks, values_an_object;
  double *values, *means;   // (K, G, L): the indicators; with granularity object_level the mean costs too
  int64_t* counts;          // (K, G, L): the numbers of costs, with granularity object_level
  double *totals, *images;  // (2, K) sums and numbers of indicators; (K, B) means of images
  int64_t* choice;          // (G, L)

  COLAD_HD int64_t count() const { return split.candidates.objects * values_an_object; }
};

// counters and keys are the buckets of CUDA (ops/match_anchors/candidate_buckets.h); on the CPU they are empty.
using IndicatorTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

struct IndicatorCall {
  MatchCall match;
  std::vector<AssignCostCall> costs;  // one a network
  Tensor all_costs, gt_offsets, values, means, counts, totals, images, choice, counters, keys, split_keys, split_sorted,
      responsibility;
  IndicatorParams params;

  IndicatorTensors outputs() const { return {match.matched, all_costs, choice, totals, counters, keys}; }
};

// The levels of network `k`: those of all networks stand one after the other in `levels`.
inline std::vector<Tensor> levels_of_network(const std::vector<Tensor>& levels, const std::vector<int64_t>& sizes,
                                             size_t k, const char* name) {
  int64_t first = 0;
  for (size_t i = 0; i < k; ++i) {
    first += sizes[i];
  }
  check(sizes[k] >= 1 && first + sizes[k] <= static_cast<int64_t>(levels.size()), name, " should have ", sizes[k],
        " levels of network ", k, ", got ", levels.size() - first);
  return {levels.begin() + first, levels.begin() + first + sizes[k]};
}

inline IndicatorCall indicator_contract(const std::vector<Tensor>& logits, const std::vector<Tensor>& boxes,
                                        const std::vector<int64_t>& logit_levels,
                                        const std::vector<int64_t>& box_levels, const std::vector<int64_t>& probs,
                                        const Tensor& gt_boxes, const Tensor& gt_labels, const Tensor& gt_offsets,
                                        const std::vector<int64_t>& level_sizes, MatchCall match,
                                        const IndicatorOptions& options, const SharedCostOptions& cost_options,
                                        const SplitOptions& split_options, int64_t samples_in_place) {
  const size_t networks = probs.size();
  check(networks >= 2, "probs should be given for two or more networks, got ", networks);
  check(logit_levels.size() == networks && box_levels.size() == networks,
        "logit_levels and box_levels should have one number a network, ", networks, ", got ", logit_levels.size(),
        " and ", box_levels.size());
  const Tensor matched = match.matched;
  const int64_t images = matched.size(0), anchors = matched.size(1), k = static_cast<int64_t>(networks);
  IndicatorCall call{};
  call.match = std::move(match);
  call.all_costs = new_tensor(matched, {k, images, anchors}, ScalarType::Float);
  for (size_t i = 0; i < networks; ++i) {
    call.costs.push_back(assign_cost_inputs(levels_of_network(logits, logit_levels, i, "logits"),
                                            levels_of_network(boxes, box_levels, i, "boxes"), gt_boxes, gt_labels,
                                            matched, {cost_options, probs[i] != 0}, "anchors"));
    call.costs[i].params.cost = static_cast<float*>(call.all_costs.data_ptr()) + i * images * anchors;
  }
  IndicatorParams p{};
  SplitParams& split = p.split;
  split.candidates =
      candidate_contract(call.all_costs, matched, gt_offsets, level_sizes, gt_boxes.size(0), &p.networks);
  split.capacity = most_samples(level_sizes, split_options.topk);
  split.options = split_options;
  p.options = options;
  const int64_t g = split.candidates.objects;
  const int64_t l = options.granularity == Granularity::object_level ? split.candidates.levels : 1;
  const int64_t scratch = split.capacity > samples_in_place ? k * g * split.capacity : 0;
  p.values_an_object = l;
  const auto doubles = [&](std::vector<int64_t> sizes) { return new_tensor(matched, sizes, ScalarType::Double); };
  const auto longs = [&](std::vector<int64_t> sizes) { return new_tensor(matched, sizes, ScalarType::Long); };
  call.gt_offsets = as_contiguous(gt_offsets);
  call.values = doubles({k, g, l}), call.means = doubles({k, g, l}), call.counts = longs({k, g, l});
  call.totals = doubles({2, k}), call.images = doubles({k, images}), call.choice = longs({g, l});
  call.counters = new_tensor(matched, {0}, ScalarType::Int), call.keys = longs({k, 0});
  call.split_keys = longs({scratch}), call.split_sorted = longs({scratch});
  call.responsibility = doubles({2 * scratch});

  point_at_inputs(split.candidates, call.all_costs, matched, call.gt_offsets);
  split.keys = static_cast<uint64_t*>(call.split_keys.data_ptr());
  split.sorted = static_cast<uint64_t*>(call.split_sorted.data_ptr());
  split.responsibility = static_cast<double*>(call.responsibility.data_ptr());
  p.values = static_cast<double*>(call.values.data_ptr());
  p.means = static_cast<double*>(call.means.data_ptr());
  p.counts = static_cast<int64_t*>(call.counts.data_ptr());
  p.totals = static_cast<double*>(call.totals.data_ptr());
  p.images = static_cast<double*>(call.images.data_ptr());
  p.choice = static_cast<int64_t*>(call.choice.data_ptr());
  call.params = p;
  return call;
}

// Writes choice `i` of (G, L). The values, and for a choice by means the totals or the means of images, are complete.
COLAD_HD void write_choice(const IndicatorParams& p, int64_t i) {
  const int64_t k = p.networks, n = p.count();
  const CandidateParams& c = p.split.candidates;
  switch (p.options.granularity) {
    case Granularity::iteration:
      p.choice[i] = first_of_highest(k, [&](int64_t network) { return p.totals[network] / p.totals[k + network]; });
      break;
    case Granularity::image: {
      const int64_t image = image_of_row(c.gt_offsets, c.images, i);
      p.choice[i] = first_of_highest(k, [&](int64_t network) { return p.images[network * c.images + image]; });
      break;
    }
    case Granularity::object:
      p.choice[i] = first_of_highest(k, [&](int64_t network) { return p.values[network * n + i]; });
      break;
    case Granularity::object_level:
      p.choice[i] = teacher_of_level(
          k, [&](int64_t network) { return p.counts[network * n + i]; },
          [&](int64_t network) { return p.means[network * n + i]; },
          [&](int64_t network) { return p.values[network * n + i]; });
      break;
  }
}

// The operator. Backend::run(call) fills the outputs.
template <typename Backend>
IndicatorTensors colad_indicators_op(std::vector<Tensor> logits, std::vector<Tensor> boxes, const Tensor& anchors,
                                     const Tensor& gt_boxes, const Tensor& gt_labels, const Tensor& gt_offsets,
                                     std::vector<int64_t> level_sizes, std::vector<int64_t> logit_levels,
                                     std::vector<int64_t> box_levels, std::vector<int64_t> probs,
                                     std::optional<Tensor> valid, std::optional<Tensor> ignore_boxes,
                                     std::optional<Tensor> ignore_offsets, const IndicatorOptions& options,
                                     const MatchOptions& match_options, const SharedCostOptions& cost_options,
                                     const SplitOptions& split_options) {
  MatchCall match = match_contract(anchors, gt_boxes, gt_offsets, valid, ignore_boxes, ignore_offsets, match_options,
                                   /*with_iou=*/false);
  IndicatorCall call =
      indicator_contract(logits, boxes, logit_levels, box_levels, probs, gt_boxes, gt_labels, gt_offsets, level_sizes,
                         std::move(match), options, cost_options, split_options, Backend::kSamplesInPlace);
  Backend::run(call);
  return call.outputs();
}

}  // namespace colad
