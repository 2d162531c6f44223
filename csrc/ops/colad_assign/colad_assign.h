// Contracts of indicator_means and select_costs. Co-learning computes the costs of several networks; these operators
// select the costs that decide the assignment.
#pragma once

#include "common/boxed.h"
#include "ops/colad_assign/colad_assign_math.h"
#include "ops/split_candidates/candidates.h"

namespace colad {

struct IndicatorParams {
  const double* values;  // (networks, objects), NaN where undefined
  const int64_t* gt_offsets;
  double* means;  // (networks, images)
  int64_t networks, images, objects;
};

struct IndicatorCall {
  Tensor values, gt_offsets, means;
  IndicatorParams params;
};

inline IndicatorCall indicator_contract(const Tensor& values, const Tensor& gt_offsets) {
  check_shape(values, "values", {-1, -1}, "(K, G)");
  check_dtype(values, "values", ScalarType::Double);
  const int64_t images = check_offsets(gt_offsets, "gt_offsets", values.size(1), values, "values");
  IndicatorCall call{
      as_contiguous(values), as_contiguous(gt_offsets), new_tensor(values, {values.size(0), images}), {}};
  call.params = {static_cast<const double*>(call.values.data_ptr()),
                 static_cast<const int64_t*>(call.gt_offsets.data_ptr()),
                 static_cast<double*>(call.means.data_ptr()),
                 values.size(0),
                 images,
                 values.size(1)};
  return call;
}

// Writes the mean over the objects of an image, in row order. `i` runs over networks x images.
COLAD_HD void write_indicator_mean(const IndicatorParams& p, int64_t i) {
  const Rows rows = rows_of_image(p.gt_offsets, i % p.images, p.objects);
  IndicatorMean mean;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    mean.add(p.values[i / p.images * p.objects + row]);
  }
  p.means[i] = mean.mean();
}

struct SelectParams {
  const float* costs;  // (networks, images, anchors)
  const int64_t *matched, *teacher;
  float* cost;
  int64_t networks, images, anchor_count, objects;
  int64_t level_begin[kMaxLevels + 1];
  int levels;  // columns of teacher
};

struct SelectCall {
  Tensor costs, matched, teacher, cost;
  SelectParams params;
};

inline SelectCall select_contract(const Tensor& costs, const Tensor& matched, const Tensor& teacher,
                                  const std::vector<int64_t>& level_sizes) {
  check_shape(costs, "costs", {-1, -1, -1}, "(K, B, A)");
  check_dtype(costs, "costs", ScalarType::Float);
  SelectParams p{};
  p.networks = costs.size(0);
  p.images = costs.size(1);
  p.anchor_count = costs.size(2);
  check(p.networks >= 1, "costs should be of at least one network, got ", shape_of(costs));
  check_shape(matched, "matched", {p.images, p.anchor_count}, "(B, A), as costs");
  check_dtype(matched, "matched", ScalarType::Long);
  check_same_device(matched, "matched", costs, "costs");
  p.levels = level_begins(level_sizes, p.anchor_count, p.level_begin);
  check_shape(teacher, "teacher", {-1, p.levels}, "(G, L), a column a level");
  check_dtype(teacher, "teacher", ScalarType::Long);
  check_same_device(teacher, "teacher", costs, "costs");
  p.objects = teacher.size(0);
  SelectCall call{as_contiguous(costs), as_contiguous(matched), as_contiguous(teacher),
                  new_tensor(costs, {p.images, p.anchor_count}), p};
  call.params.costs = static_cast<const float*>(call.costs.data_ptr());
  call.params.matched = static_cast<const int64_t*>(call.matched.data_ptr());
  call.params.teacher = static_cast<const int64_t*>(call.teacher.data_ptr());
  call.params.cost = static_cast<float*>(call.cost.data_ptr());
  return call;
}

// Writes the cost of one anchor, from the network that is chosen for the anchor's object and level. An anchor without
// an object has an infinite cost. `i` runs over images x anchors.
COLAD_HD void write_selected(const SelectParams& p, int64_t i) {
  const int64_t row = p.matched[i];
  if (row < 0 || row >= p.objects) {
    p.cost[i] = std::numeric_limits<float>::infinity();
    return;
  }
  const int64_t chosen = p.teacher[row * p.levels + level_of(i % p.anchor_count, p.level_begin)];
  p.cost[i] = p.costs[network_or_first(chosen, p.networks) * p.images * p.anchor_count + i];
}

// The operators. Each function of Backend fills the output of a call.
template <typename Backend>
Tensor indicator_means_op(const Tensor& values, const Tensor& gt_offsets) {
  const IndicatorCall call = indicator_contract(values, gt_offsets);
  Backend::means(call);
  return call.means;
}

template <typename Backend>
Tensor select_costs_op(const Tensor& costs, const Tensor& matched, const Tensor& teacher,
                       std::vector<int64_t> level_sizes) {
  const SelectCall call = select_contract(costs, matched, teacher, level_sizes);
  Backend::select(call);
  return call.cost;
}

}  // namespace colad
