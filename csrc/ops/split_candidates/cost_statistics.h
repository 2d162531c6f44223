// Contract of cost_statistics: count, mean and standard deviation of the costs of each object's candidates, by level.
#pragma once

#include "common/boxed.h"
#include "ops/split_candidates/candidates.h"

namespace colad {

struct StatisticsParams {
  CandidateParams candidates;  // of the first network
  int64_t networks;
  int64_t* count;
  double *mean, *std;

  // The candidates with the costs of one network.
  COLAD_HD CandidateParams of_network(int64_t network) const {
    CandidateParams p = candidates;
    p.cost += network * p.images * p.anchor_count;
    return p;
  }
};

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

// The operator. Backend::run(call) fills the outputs.
template <typename Backend>
std::tuple<Tensor, Tensor, Tensor> cost_statistics_op(const Tensor& costs, const Tensor& matched,
                                                      const Tensor& gt_offsets, int64_t num_objects,
                                                      std::vector<int64_t> level_sizes) {
  const StatisticsCall call = statistics_contract(costs, matched, gt_offsets, num_objects, level_sizes);
  Backend::run(call);
  return {call.count, call.mean, call.std};
}

}  // namespace colad
