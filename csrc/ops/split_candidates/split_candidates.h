// Contract of split_candidates (per-level top-k, mixture, positives) and cost_statistics, on the costs of matched
// anchors.
#pragma once

#include <string_view>

#include "common/allocate.h"
#include "common/level_views.h"
#include "common/ragged.h"
#include "ops/gmm_em/gmm_em.h"
#include "ops/split_candidates/split_candidates_math.h"

namespace colad {

// matched, num_pos, mean, std, weights, means, variances.
using SplitTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

struct CandidateParams {
  const float* cost;
  const int64_t *matched, *gt_offsets;
  int64_t images, anchor_count, objects;
  int64_t level_begin[kMaxLevels + 1];
  int levels;

  // The anchor, matched to `row`, is a candidate: its cost is a number.
  COLAD_HD bool is_candidate(int64_t image, int64_t anchor, int64_t row) const {
    const int64_t i = image * anchor_count + anchor;
    return matched[i] == row && is_finite(cost[i]);
  }
};

struct SplitParams {
  CandidateParams candidates;
  int64_t topk, capacity;  // capacity: the most samples an object can have, levels * topk or A
  EmOptions em;
  SplitOptions split;
  int64_t *matched, *num_pos;
  double *mean, *std, *weights, *means, *variances;
  uint64_t *keys, *sorted;  // scratch (G, capacity)
  double* responsibility;   // scratch (G, capacity, 2)
};

struct StatisticsParams {
  CandidateParams candidates;  // of the first network
  int64_t networks;
  int64_t* count;
  double *mean, *std;

  // The candidates by the costs of one network.
  COLAD_HD CandidateParams of_network(int64_t network) const {
    CandidateParams p = candidates;
    p.cost += network * p.images * p.anchor_count;
    return p;
  }
};

// Checks the levels and writes where each begins, and the end; returns how many there are.
inline int level_begins(const std::vector<int64_t>& level_sizes, int64_t anchors, int64_t* begin) {
  check(level_sizes.size() >= 1 && level_sizes.size() <= kMaxLevels, "level_sizes should have 1 to ", kMaxLevels,
        " levels, got ", level_sizes.size());
  const int levels = static_cast<int>(level_sizes.size());
  begin[0] = 0;
  for (int l = 0; l < levels; ++l) {
    check(level_sizes[l] >= 0, "level_sizes should be >= 0, got ", level_sizes[l], " at level ", l);
    check(level_sizes[l] <= anchors - begin[l], "level_sizes should sum to the number of anchors ", anchors,
          ", got more, with ", level_sizes[l], " at level ", l);
    begin[l + 1] = begin[l] + level_sizes[l];
  }
  check(begin[levels] == anchors, "level_sizes should sum to the number of anchors ", anchors, ", got ", begin[levels]);
  return levels;
}

// `cost` is (B, A), or (K, B, A) where `networks` is given: their number is written there.
inline CandidateParams candidate_contract(const Tensor& cost, const Tensor& matched, const Tensor& gt_offsets,
                                          const std::vector<int64_t>& level_sizes, int64_t objects,
                                          int64_t* networks = nullptr) {
  CandidateParams p{};
  if (networks == nullptr) {
    check_shape(cost, "cost", {-1, -1}, "(B, A)");
  } else {
    check_shape(cost, "cost", {-1, -1, -1}, "(B, A) or (K, B, A)");
    *networks = cost.size(0);
  }
  check_dtype(cost, "cost", ScalarType::Float);
  p.images = cost.size(cost.dim() - 2);
  p.anchor_count = cost.size(cost.dim() - 1);
  check_shape(matched, "matched", {p.images, p.anchor_count}, "(B, A), as cost");
  check_dtype(matched, "matched", ScalarType::Long);
  check_same_device(matched, "matched", cost, "cost");
  check(objects >= 0, "num_objects should be >= 0, got ", objects);
  const int64_t images = check_offsets(gt_offsets, "gt_offsets", objects, cost, "cost");
  check(images == p.images, "gt_offsets should have one row an image and one more, ", p.images + 1, ", got ",
        images + 1);
  check(p.anchor_count <= int64_t(UINT32_MAX), "cost should have fewer than 2^32 anchors an image, got ",
        p.anchor_count);
  p.levels = level_begins(level_sizes, p.anchor_count, p.level_begin);
  p.objects = objects;
  if (gt_offsets.is_cpu()) {  // before anything of that many objects is allocated
    const Tensor offsets = as_contiguous(gt_offsets);
    check_offsets_ascend(static_cast<const int64_t*>(offsets.data_ptr()), p.images, objects, "gt_offsets");
  }
  return p;
}

inline void point_at_inputs(CandidateParams& p, const Tensor& cost, const Tensor& matched, const Tensor& gt_offsets) {
  p.cost = static_cast<const float*>(cost.data_ptr());
  p.matched = static_cast<const int64_t*>(matched.data_ptr());
  p.gt_offsets = static_cast<const int64_t*>(gt_offsets.data_ptr());
}

inline SplitOptions split_options(std::string_view split, bool keep_single, bool keep_without_component0, bool prefix) {
  Split mode{};
  if (split == "peak") {
    mode = Split::peak;
  } else if (split == "posterior") {
    mode = Split::posterior;
  } else if (split == "band") {
    mode = Split::band;
  } else {
    fail("split should be peak, posterior or band, got ", split);
  }
  return {mode, keep_single, keep_without_component0, prefix};
}

struct SplitCall {
  Tensor cost, in_matched, gt_offsets, matched, num_pos, mean, std, weights, means, variances, keys, sorted,
      responsibility;
  SplitParams params;

  SplitTensors outputs() const { return {matched, num_pos, mean, std, weights, means, variances}; }
};

// Scratch is allocated for objects of more samples than `samples_in_place`, which a backend holds by itself.
// `over_matched`: positives are written over the matches, which are contiguous, instead of beside them.
inline SplitCall split_contract(const Tensor& cost, const Tensor& matched, const Tensor& gt_offsets, int64_t objects,
                                const std::vector<int64_t>& level_sizes, int64_t topk, bool tied, int64_t max_iter,
                                double tol, double reg_covar, std::string_view split, bool keep_single,
                                bool keep_without_component0, bool prefix, int64_t samples_in_place,
                                bool over_matched = false) {
  SplitParams p{};
  p.candidates = candidate_contract(cost, matched, gt_offsets, level_sizes, objects);
  check(topk >= 1, "topk should be >= 1, got ", topk);
  p.topk = topk;
  for (int64_t size : level_sizes) {
    p.capacity += size < topk ? size : topk;
  }
  p.em = em_options(max_iter, tol, reg_covar, tied);
  p.split = split_options(split, keep_single, keep_without_component0, prefix);

  const auto doubles = [&](std::vector<int64_t> sizes) { return new_tensor(cost, sizes, ScalarType::Double); };
  const int64_t g = objects, scratch = p.capacity > samples_in_place ? objects * p.capacity : 0;
  SplitCall call{as_contiguous(cost),
                 as_contiguous(matched),
                 as_contiguous(gt_offsets),
                 over_matched ? matched : new_tensor(matched, {p.candidates.images, p.candidates.anchor_count}),
                 new_tensor(cost, {g}, ScalarType::Long),
                 doubles({g}),
                 doubles({g}),
                 doubles({g, 2}),
                 doubles({g, 2}),
                 doubles({g, 2}),
                 new_tensor(cost, {scratch}, ScalarType::Long),
                 new_tensor(cost, {scratch}, ScalarType::Long),
                 doubles({2 * scratch}),
                 p};
  SplitParams& q = call.params;
  point_at_inputs(q.candidates, call.cost, call.in_matched, call.gt_offsets);
  q.matched = static_cast<int64_t*>(call.matched.data_ptr());
  q.num_pos = static_cast<int64_t*>(call.num_pos.data_ptr());
  q.mean = static_cast<double*>(call.mean.data_ptr());
  q.std = static_cast<double*>(call.std.data_ptr());
  q.weights = static_cast<double*>(call.weights.data_ptr());
  q.means = static_cast<double*>(call.means.data_ptr());
  q.variances = static_cast<double*>(call.variances.data_ptr());
  q.keys = static_cast<uint64_t*>(call.keys.data_ptr());
  q.sorted = static_cast<uint64_t*>(call.sorted.data_ptr());
  q.responsibility = static_cast<double*>(call.responsibility.data_ptr());
  return call;
}

struct StatisticsCall {
  Tensor costs, matched, gt_offsets, count, mean, std;
  StatisticsParams params;
};

inline StatisticsCall statistics_contract(const Tensor& costs, const Tensor& matched, const Tensor& gt_offsets,
                                          int64_t objects, const std::vector<int64_t>& level_sizes) {
  StatisticsParams p{};
  p.candidates = candidate_contract(costs, matched, gt_offsets, level_sizes, objects, &p.networks);
  const std::vector<int64_t> sizes{p.networks, objects, p.candidates.levels};
  StatisticsCall call{as_contiguous(costs),
                      as_contiguous(matched),
                      as_contiguous(gt_offsets),
                      new_tensor(costs, sizes, ScalarType::Long),
                      new_tensor(costs, sizes, ScalarType::Double),
                      new_tensor(costs, sizes, ScalarType::Double),
                      p};
  point_at_inputs(call.params.candidates, call.costs, call.matched, call.gt_offsets);
  call.params.count = static_cast<int64_t*>(call.count.data_ptr());
  call.params.mean = static_cast<double*>(call.mean.data_ptr());
  call.params.std = static_cast<double*>(call.std.data_ptr());
  return call;
}

// What an anchor becomes before any object claims it as positive.
COLAD_HD int64_t unclaimed(int64_t matched) { return matched == kIgnored ? kIgnored : kBackground; }

COLAD_HD int64_t outcome(Fate fate, int64_t row) {
  return fate == Fate::positive ? row : (fate == Fate::ignored ? kIgnored : kBackground);
}

// What an object leaves behind besides its positives.
COLAD_HD void write_object(const SplitParams& p, int64_t row, const Mixture& mixture, double mean, double std,
                           int64_t num_pos) {
  for (int k = 0; k < 2; ++k) {
    write_component(p.weights, p.means, p.variances, row, k, mixture);
  }
  p.mean[row] = mean;
  p.std[row] = std;
  p.num_pos[row] = num_pos;
}

// The operator split_candidates on CUDA.
SplitTensors split_candidates_cuda(const Tensor& cost, const Tensor& matched, const Tensor& gt_offsets,
                                   int64_t num_objects, std::vector<int64_t> level_sizes, int64_t topk, bool tied,
                                   int64_t max_iter, double tol, double reg_covar, std::string_view split,
                                   bool keep_single, bool keep_without_component0, bool prefix);

}  // namespace colad
