// The voters on the CPU, and their votes for one kept box. Loops go through the voters in chunks, so that they are
// vectorised, and leave out the chunks without a voter of the class.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "common/cpu_capability.h"
#include "common/elementary.h"
#include "ops/score_voting/score_voting.h"

namespace colad {

constexpr int64_t kVoterChunk = 16;  // a multiple of the floats of a vector

inline int64_t voter_chunks(int64_t voters) { return (voters + kVoterChunk - 1) / kVoterChunk; }

// The scores of all voters for some classes, a row for each class: 0 for a voter that does not vote.
template <typename T>
class ClassScores {
  using C = compute_t<T>;

 public:
  // How many classes fit into 2^20 scores.
  static int64_t most_labels(const VotingParams& params) { return (int64_t(1) << 20) / (params.all + 1) + 1; }

  ClassScores(const VotingParams& params, const std::vector<int64_t>& labels)
      : voters_(params.all),
        padded_(voter_chunks(params.all) * kVoterChunk),
        threshold_(static_cast<C>(params.options.score_threshold)),
        scores_(std::make_unique_for_overwrite<C[]>(labels.size() * padded_)) {
    C* const to = scores_.get();
    for (int64_t i = 0; i < voters_; ++i) {
      const T* const from = static_cast<const T*>(params.all_scores) + i * params.classes;
      for (size_t l = 0; l < labels.size(); ++l) {
        to[l * padded_ + i] = static_cast<C>(from[labels[l]]);
      }
    }
  }

  // The scores of one class. Lists the chunks in which a voter of the class is. Called once for each class.
  const C* of(int64_t l, std::vector<int32_t>& chunks) {
    C* const scores = scores_.get() + l * padded_;
    std::fill(scores + voters_, scores + padded_, C(0));
    chunks.resize(voter_chunks(voters_));
    vectorised([=, threshold = threshold_, padded = padded_, some = chunks.data()] {
      for (int64_t first = 0; first < padded; first += kVoterChunk) {
        int32_t voters = 0;
        for (int64_t i = first; i < first + kVoterChunk; ++i) {
          const bool votes = (scores[i] > threshold) & (scores[i] > C(0)) & is_finite(scores[i]);
          scores[i] = votes ? scores[i] : C(0);
          voters += votes ? 1 : 0;
        }
        some[first / kVoterChunk] = voters;
      }
    });
    size_t found = 0;
    for (size_t chunk = 0; chunk < chunks.size(); ++chunk) {
      const bool some = chunks[chunk] > 0;
      chunks[found] = static_cast<int32_t>(chunk);
      found += some;
    }
    chunks.resize(found);
    return scores;
  }

 private:
  int64_t voters_, padded_;
  C threshold_;
  std::unique_ptr<C[]> scores_;
};

template <typename T>
class Voters {
  using C = compute_t<T>;

 public:
  explicit Voters(const VotingParams& params) : options_(params.options) {
    const int64_t n = voter_chunks(params.all) * kVoterChunk;
    memory_ = std::make_unique_for_overwrite<C[]>(5 * n);
    C* const m = memory_.get();
    v_ = {m, m + n, m + 2 * n, m + 3 * n, m + 4 * n};
    for (int64_t i = 0; i < n; ++i) {
      Box<C> box{};
      C area = std::numeric_limits<C>::quiet_NaN();  // the IoU is then NaN: such a box does not vote
      if (i < params.all) {
        const Box<C> voter = load_box(static_cast<const T*>(params.all_boxes), i);
        if (has_finite_corners(voter)) {
          box = voter, area = box_area(voter);
        }
      }
      v_.x1[i] = box.x1, v_.y1[i] = box.y1, v_.x2[i] = box.x2, v_.y2[i] = box.y2, v_.area[i] = area;
    }
  }

  // Voter i adds to lane i % kVoterChunk, and the lanes are added up in order: the bits of the sums depend neither on
  // the threads nor on the vectors of the CPU.
  VoteSums<C> votes_for(const Box<C>& box, const C* scores, const std::vector<int32_t>& chunks) const {
    const C sigma = static_cast<C>(options_.sigma);  // may be 0 in C
    if (has_nan(box) || sigma == C(0)) {
      return {};
    }
    VoteSums<C> sums{};
    vectorised([v = v_, box, scores, sigma, iou_threshold = static_cast<C>(options_.iou_threshold),
                chunk = chunks.data(), count = static_cast<int64_t>(chunks.size()), total = &sums] {
      const C area = box_area(box);
      C weights[kVoterChunk] = {}, x1[kVoterChunk] = {}, y1[kVoterChunk] = {}, x2[kVoterChunk] = {},
        y2[kVoterChunk] = {};
      for (int64_t c = 0; c < count; ++c) {
        const int64_t first = chunk[c] * kVoterChunk;
        const View near = v.from(first);
        const C* const score = scores + first;
        C weight[kVoterChunk];
        for (int64_t i = 0; i < kVoterChunk; ++i) {
          const C iou = iou_of<MayBeNan::second>(box, area, near.box(i), near.area[i]);
          const C votes = score[i] * exp_nonpositive(-(C(1) - iou) * (C(1) - iou) / sigma);
          weight[i] = iou > iou_threshold ? votes : C(0);
        }
        for (int64_t i = 0; i < kVoterChunk; ++i) {
          weights[i] += weight[i];
          x1[i] += weight[i] * near.x1[i], y1[i] += weight[i] * near.y1[i];
          x2[i] += weight[i] * near.x2[i], y2[i] += weight[i] * near.y2[i];
        }
      }
      for (int64_t lane = 0; lane < kVoterChunk; ++lane) {
        total->weight += weights[lane];
        total->x1 += x1[lane], total->y1 += y1[lane], total->x2 += x2[lane], total->y2 += y2[lane];
      }
    });
    return sums;
  }

 private:
  struct View {
    C *x1, *y1, *x2, *y2, *area;

    Box<C> box(int64_t i) const { return {x1[i], y1[i], x2[i], y2[i]}; }

    View from(int64_t i) const { return {x1 + i, y1 + i, x2 + i, y2 + i, area + i}; }
  };

  VotingOptions options_;
  std::unique_ptr<C[]> memory_;
  View v_;
};

}  // namespace colad
