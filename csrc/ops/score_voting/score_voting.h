// Contract of score_voting, and the loop of CUDA over the voters. That of the CPU is in voters.h.
#pragma once

#include "common/boxed.h"
#include "ops/iou/iou.h"
#include "ops/score_voting/score_voting_math.h"

namespace colad {

struct VotingParams {
  const void *boxes, *all_boxes, *all_scores;
  const int64_t* labels;
  void* voted;
  int64_t kept, all, classes;
  VotingOptions options;
};

struct VotingCall {
  Tensor boxes, labels, all_boxes, all_scores, voted;
  VotingParams params;
  ScalarType dtype;
};

inline VotingOptions voting_options(double sigma, double iou_threshold, double score_threshold) {
  check(sigma > 0, "sigma should be > 0, got ", sigma);
  check_number(iou_threshold, "iou_threshold");
  check_number(score_threshold, "score_threshold");
  return {.sigma = sigma, .iou_threshold = iou_threshold, .score_threshold = score_threshold};
}

template <>
inline constexpr auto kMakeOptions<VotingOptions> = &voting_options;

inline VotingCall voting_contract(const Tensor& boxes, const Tensor& labels, const Tensor& all_boxes,
                                  const Tensor& all_scores, const VotingOptions& options) {
  check_shape(boxes, "boxes", {-1, 4}, "(K, 4)");
  check_floating(boxes, "boxes");
  check_shape(labels, "labels", {boxes.size(0)}, "(K,), one a box");
  check_dtype(labels, "labels", ScalarType::Long);
  check_shape(all_boxes, "all_boxes", {-1, 4}, "(N, 4)");
  check_shape(all_scores, "all_scores", {all_boxes.size(0), -1}, "(N, C)");
  check_same_dtype(all_boxes, "all_boxes", boxes, "boxes");
  check_same_dtype(all_scores, "all_scores", boxes, "boxes");
  check_same_device(labels, "labels", boxes, "boxes");
  check_same_device(all_boxes, "all_boxes", boxes, "boxes");
  check_same_device(all_scores, "all_scores", boxes, "boxes");
  VotingCall call{as_boxes(boxes),
                  as_contiguous(labels),
                  as_boxes(all_boxes),
                  as_contiguous(all_scores),
                  new_tensor(boxes, {boxes.size(0), 4}),
                  {},
                  boxes.scalar_type()};
  call.params = {call.boxes.data_ptr(),
                 call.all_boxes.data_ptr(),
                 call.all_scores.data_ptr(),
                 static_cast<const int64_t*>(call.labels.data_ptr()),
                 call.voted.data_ptr(),
                 boxes.size(0),
                 all_boxes.size(0),
                 all_scores.size(1),
                 options};
  return call;
}

// The votes of boxes begin, begin + step, ... for the kept box k. A label that does not exist has no voters.
template <typename T>
COLAD_HD VoteSums<compute_t<T>> count_votes(const VotingParams& p, int64_t k, int64_t begin, int64_t step) {
  using C = compute_t<T>;
  VoteSums<C> sums{};
  const int64_t label = p.labels[k];
  if (label < 0 || label >= p.classes) {
    return sums;
  }
  const Box<C> box = load_box(static_cast<const T*>(p.boxes), k);
  for (int64_t i = begin; i < p.all; i += step) {
    const Box<C> voter = load_box(static_cast<const T*>(p.all_boxes), i);
    const C score = static_cast<C>(static_cast<const T*>(p.all_scores)[i * p.classes + label]);
    add_vote(sums, voter, vote_weight(box, voter, score, p.options));
  }
  return sums;
}

template <typename T>
COLAD_HD void write_voted(const VotingParams& p, int64_t k, const VoteSums<compute_t<T>>& sums) {
  store_box(static_cast<T*>(p.voted), k, voted_box(sums, load_box(static_cast<const T*>(p.boxes), k)));
}

// The operator. Backend::run(call) fills the output.
template <typename Backend>
Tensor score_voting_op(const Tensor& boxes, const Tensor& labels, const Tensor& all_boxes, const Tensor& all_scores,
                       const VotingOptions& options) {
  const VotingCall call = voting_contract(boxes, labels, all_boxes, all_scores, options);
  Backend::run(call);
  return call.voted;
}

}  // namespace colad
