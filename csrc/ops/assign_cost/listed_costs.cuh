// The costs of a few listed anchors, computed by one block. Eight threads share the classes of an anchor. A thread
// loads all its classes before it uses the first: the loads wait for memory together.
#pragma once

#include "common/reduce.cuh"
#include "ops/assign_cost/assign_cost.h"

namespace colad {

constexpr int kParts = 8;    // together the threads of an anchor read 32 bytes of float32, one sector
constexpr int kAtOnce = 32;  // anchors: in class maps the lanes of a warp read neighbours. Not tuned on a card
constexpr int kCostBlock = kParts * kAtOnce;
constexpr int kLoads = 10;  // classes a thread loads before it uses one: the 80 of COCO in one turn

struct ListedCosts {
  float part[kParts + 1][kAtOnce];  // the last row is the box part
};

// The focal loss of one logit with gamma 2, by approximate instructions. The absolute error is below 1e-6: it enters a
// sum of costs, whose own rounding is as large. Where the loss is tiny, so is its error, because the sigmoid is
// accurate.
__device__ inline float approximate_focal_loss(float logit, bool target, const FocalOptions<float>& options) {
  const float y = target ? -logit : logit, e = __expf(-fabsf(y)), sum = 1.0f + e;
  const float sigmoid = __fdividef(y >= 0.0f ? 1.0f : e, sum), softplus = fmaxf(y, 0.0f) + __logf(sum);
  return focal_alpha(target, options) * (sigmoid * sigmoid) * softplus;
}

// The focal loss of one class prediction. `kSquare`: gamma is 2.
template <bool kSquare, bool kProbs>
struct ClassLoss {
  FocalOptions<float> options;

  __device__ float operator()(float x, bool target) const {
    if constexpr (kProbs) {
      return focal_loss_of_probability(x, target, options);
    } else if constexpr (kSquare) {
      return approximate_focal_loss(x, target, options);
    } else {
      return focal_loss(x, target, options);
    }
  }
};

// The loss of the classes part, part + kParts, ...
template <typename T, typename Loss>
__device__ float class_part(const ChannelRow& channels, int part, int64_t classes, int64_t label, const Loss& loss) {
  constexpr int kTurn = kParts * kLoads;
  const int64_t step = kParts * channels.stride;
  const T* at = static_cast<const T*>(channels.data) + channels.start + part * channels.stride;
  float sum = 0.0f;
  for (int64_t first = part; first < classes; first += kTurn) {
    const int left = static_cast<int>(minimum<int64_t>(classes - first, kTurn));
    const int to_label = label >= first && label - first < kTurn ? static_cast<int>(label - first) : -1;
    T x[kLoads];
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      x[k] = k * kParts < left ? at[k * step] : T(0);
    }
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      const float of_class = loss(static_cast<float>(x[k]), k * kParts == to_label);
      sum += k * kParts < left ? of_class : 0.0f;
    }
    at += kLoads * step;
  }
  return sum;
}

// An anchor of (images, anchors) and the row of its object.
struct MatchedAnchor {
  int64_t index, row;
};

// Calls use(i, cost) for the anchors matched(0) to matched(count - 1), count <= kAtOnce. The cost is infinite if the
// object or its label does not exist. All threads of a block of kCostBlock call it.
template <typename T, bool kSquare, bool kProbs, typename Matched, typename Use>
__device__ void for_each_cost(const AssignCostParams& p, int64_t count, ListedCosts& memory, Matched matched, Use use) {
  // True: the classes of an anchor are neighbours in memory. False (class maps): the anchors of a class are.
  const bool rows = p.logits.level[0].stride_channel == 1;
  const int thread = threadIdx.x;
  const int which = rows ? thread / kParts : thread % kAtOnce, part = rows ? thread % kParts : thread / kAtOnce;
  if (which < count) {
    const auto [i, row] = matched(which);
    const int64_t image = quotient(i, p.anchor_count), anchor = i - image * p.anchor_count;
    const bool exists = has_cost(p, row);
    if (part == 0) {
      memory.part[kParts][which] = exists ? box_cost_at(p, image, anchor, row) : kNoCost;
    }
    memory.part[part][which] = exists ? class_part<T>(channel_row(p.logits, image, anchor), part, p.classes,
                                                      p.gt_labels[row], ClassLoss<kSquare, kProbs>{p.options.focal})
                                      : 0.0f;
  }
  __syncthreads();
  if (thread < count) {
    float cost = 0.0f;
#pragma unroll
    for (int row = 0; row <= kParts; ++row) {
      cost += memory.part[row][thread];
    }
    use(thread, cost);
  }
  __syncthreads();
}

// Calls visit<T, kSquare, kProbs>() with the constants of a call.
template <typename Visit>
void dispatch_costs(const AssignCostParams& p, Visit visit) {
  dispatch_floating(p.logits.dtype, [&]<typename T>() {
    if (p.options.probs) {
      visit.template operator()<T, false, true>();
    } else if (p.options.focal.gamma == 2.0f) {
      visit.template operator()<T, true, false>();
    } else {
      visit.template operator()<T, false, false>();
    }
  });
}

}  // namespace colad
