// Contract of split_candidates. From the costs of the matched anchors: the top-k of each level, their mixture, and the
// positives.
#pragma once

#include <algorithm>
#include <string_view>

#include "common/boxed.h"
#include "ops/gmm_em/gmm_em.h"
#include "ops/match_anchors/candidate_buckets.h"
#include "ops/split_candidates/candidates.h"

namespace colad {

// matched, num_pos, mean, std, weights, means, variances.
using SplitTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

struct SplitParams {
  CandidateParams candidates;
  int64_t capacity;  // the most samples an object can have
  SplitOptions options;
  int64_t *matched, *num_pos;
  double *mean, *std, *weights, *means, *variances;
  uint64_t *keys, *sorted;  // scratch (G, capacity)
  double* responsibility;   // scratch (G, capacity, 2)
};

inline SplitOptions split_options(int64_t topk, const MixtureOptions& mixture, std::string_view split,
                                  std::string_view single_candidate, std::string_view no_component0, bool prefix) {
  constexpr Choice<Split> kSplit[] = {{"peak", Split::peak}, {"posterior", Split::posterior}, {"band", Split::band}};
  constexpr Choice<SingleCandidate> kSingleCandidate[] = {{"keep", SingleCandidate::keep},
                                                          {"drop", SingleCandidate::drop}};
  constexpr Choice<NoComponent0> kNoComponent0[] = {{"all", NoComponent0::all}, {"none", NoComponent0::none}};
  check(topk >= 1, "topk should be >= 1, got ", topk);
  return {.topk = topk,
          .mixture = mixture,
          .split = choice(split, "split", kSplit),
          .single_candidate = choice(single_candidate, "single_candidate", kSingleCandidate),
          .no_component0 = choice(no_component0, "no_component0", kNoComponent0),
          .prefix = prefix};
}

template <>
inline constexpr auto kMakeOptions<SplitOptions> = &split_options;

struct SplitCall {
  Tensor cost, in_matched, gt_offsets, matched, num_pos, mean, std, weights, means, variances, keys, sorted,
      responsibility;
  SplitParams params;

  SplitTensors outputs() const { return {matched, num_pos, mean, std, weights, means, variances}; }
};

// The most samples an object can have.
inline int64_t most_samples(const std::vector<int64_t>& level_sizes, int64_t topk) {
  int64_t samples = 0;
  for (int64_t size : level_sizes) {
    samples += std::min(size, topk);
  }
  return samples;
}

// Scratch memory is allocated only if an object can have more than `samples_in_place` samples; up to that number the
// backend holds the samples itself. `over_matched`: the positives overwrite the matches, which are contiguous, instead
// of going to a new tensor.
inline SplitCall split_contract(const Tensor& cost, const Tensor& matched, const Tensor& gt_offsets, int64_t objects,
                                const std::vector<int64_t>& level_sizes, const SplitOptions& options,
                                int64_t samples_in_place, bool over_matched = false) {
  SplitParams p{};
  p.candidates = candidate_contract(cost, matched, gt_offsets, level_sizes, objects);
  p.capacity = most_samples(level_sizes, options.topk);
  p.options = options;

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

// The value of an anchor before an object makes it positive.
COLAD_HD int64_t unclaimed(int64_t matched) { return matched == kIgnored ? kIgnored : kBackground; }

COLAD_HD int64_t outcome(Fate fate, int64_t row) {
  return fate == Fate::positive ? row : (fate == Fate::ignored ? kIgnored : kBackground);
}

// Writes the results of an object, except its positives.
COLAD_HD void write_object(const SplitParams& p, int64_t row, const Mixture& mixture, double mean, double std,
                           int64_t num_pos) {
  for (int k = 0; k < 2; ++k) {
    write_component(p.weights, p.means, p.variances, row, k, mixture);
  }
  p.mean[row] = mean;
  p.std[row] = std;
  p.num_pos[row] = num_pos;
}

// The operator. Backend::run(call) fills the outputs. Objects with up to Backend::kSamplesInPlace samples need no
// scratch memory.
template <typename Backend>
SplitTensors split_candidates_op(const Tensor& cost, const Tensor& matched, const Tensor& gt_offsets,
                                 int64_t num_objects, std::vector<int64_t> level_sizes, const SplitOptions& options) {
  const SplitCall call =
      split_contract(cost, matched, gt_offsets, num_objects, level_sizes, options, Backend::kSamplesInPlace);
  Backend::run(call);
  return call.outputs();
}

class CudaScope;

struct SplitCandidatesCuda {
  static constexpr int64_t kSamplesInPlace = 128;  // in shared memory; 9 samples on each of 5 levels are 45
  static void run(const SplitCall& call);
  // Splits the candidates in the buckets. The matches of all other anchors are final.
  static void split(const SplitParams& p, const CandidateBuckets& buckets, const CudaScope& scope);
};

}  // namespace colad
