// Contract of colad_split, the second half of co-learning: every object is split by the costs of the network that was
// chosen for it. Between the halves, ranks may add up their totals.
#pragma once

#include "common/boxed.h"
#include "ops/colad_assign/colad_assign.h"

namespace colad {

// matched, cost, num_pos, mean, std, weights, means, variances, teacher, indicators.
using ColadSplitTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

struct ColadSplitParams {
  const float* costs;     // (networks, images, anchors)
  const int64_t* choice;  // (G, levels)
  const double* totals;   // (2, networks)
  float* cost;            // (images, anchors)
  int64_t* teacher;       // (G, levels)
  double* indicators;     // (networks,)
  uint64_t* overflow;     // (images * anchors,): the keys of objects with too many for shared memory
  int64_t level_begin[kMaxLevels + 1];
  int levels;  // for which a network is chosen; without granularity object_level one
  int64_t networks;
  bool by_totals;  // the network of the highest mean over all objects assigns them all
};

struct ColadSplitCall {
  SplitCall split;
  Tensor costs, choice, totals, counters, keys, overflow, cost, teacher, indicators;
  ColadSplitParams params;
};

inline ColadSplitCall colad_split_contract(const Tensor& costs, const Tensor& matched, const Tensor& gt_offsets,
                                           const Tensor& choice, const Tensor& totals, const Tensor& counters,
                                           const Tensor& keys, const std::vector<int64_t>& level_sizes,
                                           std::string_view granularity, const SplitOptions& options,
                                           int64_t samples_in_place, bool buckets) {
  check_shape(costs, "costs", {-1, -1, -1}, "(K, B, A)");
  check_dtype(costs, "costs", ScalarType::Float);
  const int64_t networks = costs.size(0), images = costs.size(1), anchors = costs.size(2);
  check(networks >= 1, "costs should be of at least one network, got ", shape_of(costs));
  check_shape(choice, "choice", {-1, -1}, "(G, L)");
  check_dtype(choice, "choice", ScalarType::Long);
  check_same_device(choice, "choice", costs, "costs");
  check_shape(totals, "totals", {2, networks}, "(2, K)");
  check_dtype(totals, "totals", ScalarType::Double);
  check_same_device(totals, "totals", costs, "costs");
  const int64_t objects = choice.size(0);
  check_shape(counters, "counters", {buckets ? counters_of(objects) : 0}, "that colad_indicators gave");
  check_dtype(counters, "counters", ScalarType::Int);
  check_same_device(counters, "counters", costs, "costs");
  check_shape(keys, "keys", {networks, buckets ? images * anchors : 0}, "that colad_indicators gave");
  check_dtype(keys, "keys", ScalarType::Long);
  check_same_device(keys, "keys", costs, "costs");
  const Granularity unit = ::colad::choice(granularity, "granularity", kGranularity);
  const Tensor cost = new_tensor(costs, {images, anchors});
  ColadSplitCall call{};
  call.split = split_contract(cost, matched, gt_offsets, objects, level_sizes, options, samples_in_place);
  ColadSplitParams& p = call.params;
  if (unit == Granularity::object_level) {
    p.levels = level_begins(level_sizes, anchors, p.level_begin);
  } else {
    p.levels = level_begins({anchors}, anchors, p.level_begin);
  }
  check(choice.size(1) == p.levels, "choice should have ", p.levels, " columns, got ", shape_of(choice));
  p.networks = networks;
  p.by_totals = unit == Granularity::iteration;
  call.cost = cost;
  call.costs = as_contiguous(costs), call.choice = as_contiguous(choice), call.totals = as_contiguous(totals);
  call.counters = as_contiguous(counters), call.keys = as_contiguous(keys);
  call.overflow = new_tensor(costs, {keys.size(1)}, ScalarType::Long);
  call.teacher = new_tensor(choice, {objects, p.levels});
  call.indicators = new_tensor(totals, {networks});
  p.costs = static_cast<const float*>(call.costs.data_ptr());
  p.choice = static_cast<const int64_t*>(call.choice.data_ptr());
  p.totals = static_cast<const double*>(call.totals.data_ptr());
  p.cost = static_cast<float*>(call.cost.data_ptr());
  p.teacher = static_cast<int64_t*>(call.teacher.data_ptr());
  p.indicators = static_cast<double*>(call.indicators.data_ptr());
  p.overflow = static_cast<uint64_t*>(call.overflow.data_ptr());
  return call;
}

// Each network's mean indicator; NaN if it is defined for no object.
COLAD_HD double mean_indicator(const ColadSplitParams& p, int64_t network) {
  return p.totals[network] / p.totals[p.networks + network];
}

// The network that assigns object `row` on `level`; -1 if the object has no candidate there.
COLAD_HD int64_t teacher_of(const ColadSplitParams& p, int64_t row, int level) {
  return p.by_totals ? first_of_highest(p.networks, [&](int64_t network) { return mean_indicator(p, network); })
                     : p.choice[row * p.levels + level];
}

// The operator. Backend::run(call) fills the outputs.
template <typename Backend>
ColadSplitTensors colad_split_op(const Tensor& costs, const Tensor& matched, const Tensor& gt_offsets,
                                 const Tensor& choice, const Tensor& totals, const Tensor& counters, const Tensor& keys,
                                 std::vector<int64_t> level_sizes, std::string_view granularity,
                                 const SplitOptions& options) {
  const ColadSplitCall call =
      colad_split_contract(costs, matched, gt_offsets, choice, totals, counters, keys, level_sizes, granularity,
                           options, Backend::kSamplesInPlace, Backend::kBuckets);
  Backend::run(call);
  const auto& [positives, num_pos, mean, std, weights, means, variances] = call.split.outputs();
  return {positives, call.cost, num_pos, mean, std, weights, means, variances, call.teacher, call.indicators};
}

}  // namespace colad
