// assign_cost on the CPU. Only matched anchors have a cost. They are processed in groups: for a few classes at a time,
// the logits of the group are copied from the maps, and a vectorised loop adds their losses.
#include "ops/assign_cost/assign_cost_cpu.h"

#include <algorithm>

#include "common/batches.h"
#include "common/cpu_capability.h"
#include "common/usual_gamma.h"
#include "ops/assign_cost/candidate_group.h"
#include "ops/match_anchors/match_codes.h"
#include "ops/match_anchors/matched_anchors.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 14;  // with one anchor in ten matched, about 100 us of work
constexpr int64_t kClasses = 4;               // classes copied at a time, while the next ones are prefetched

struct ClassSums {
  float prediction[kClasses][kGroup], sum[kGroup];
  int32_t label[kGroup];
};

// Reads the logits of classes first..last of the group, and prefetches the next kClasses classes.
template <typename T>
void read_classes(const AssignCostParams& p, const Group& group, const Runs& runs, int64_t first, int64_t last,
                  ClassSums& sums) {
  const T* channels = channels_of<T>(group, group.logits);
  vectorised([=, &runs, &sums, stride = group.logits.stride_channel, classes = p.classes](auto cpu) {
    for (int64_t c = first; c < last; ++c) {
      if (c + kClasses < classes) {
        prefetch_channel(channels + (c + kClasses) * stride, runs);
      }
      copy_channel<cpu()>(channels + c * stride, runs, sums.prediction[c - first]);
    }
  });
}

// Adds loss_of(prediction, is_target) of classes first..last to the sums of the first `count` candidates.
template <typename LossOf>
void add_losses(int64_t first, int64_t last, int64_t count, LossOf loss_of, ClassSums& sums) {
  vectorised_fused([=, &sums] {
    for (int64_t c = first; c < last; ++c) {
      const float* prediction = sums.prediction[c - first];
      const int32_t *label = sums.label, own = static_cast<int32_t>(c);
      float* sum = sums.sum;
#pragma GCC ivdep
      for (int64_t i = 0; i < count; ++i) {
        sum[i] += loss_of(prediction[i], label[i] == own);
      }
    }
  });
}

// Calls visit(loss_of) with the loss function of a class prediction.
template <typename Visit>
void with_class_loss(const CostOptions& options, Visit visit) {
  if (options.probs) {
    return visit([focal = options.focal](float probability, bool target) {
      return focal_loss_of_probability(probability, target, focal);
    });
  }
  with_usual_gamma(options.focal.gamma, [&](auto gamma) {
    visit([focal = options.focal, gamma](float logit, bool target) {
      FocalOptions<float> of_gamma = focal;
      of_gamma.gamma = gamma();
      return focal_loss(logit, target, of_gamma);
    });
  });
}

void write_class_costs(const AssignCostParams& p, const Group& group, float* cost) {
  alignas(64) ClassSums sums{};
  for (int64_t i = 0; i < group.count; ++i) {
    sums.label[i] = static_cast<int32_t>(p.gt_labels[group.row[i]]);
  }
  const Runs runs = runs_of(group, group.logits);
  const int64_t padded = (group.count + kWidth - 1) / kWidth * kWidth;  // whole vectors
  for (int64_t first = 0; first < p.classes; first += kClasses) {
    const int64_t last = std::min(first + kClasses, p.classes);
    dispatch_floating(p.logits.dtype, [&]<typename T>() { read_classes<T>(p, group, runs, first, last, sums); });
    with_class_loss(p.options, [&](auto loss_of) { add_losses(first, last, padded, loss_of, sums); });
  }
  std::copy_n(sums.sum, group.count, cost);
}

// The corners of the predicted boxes and of their objects, an array a coordinate.
struct Corners {
  float box[4][kGroup], gt[4][kGroup];
};

template <typename T>
void prefetch_corners(const Group& group, const Runs& runs) {
  for (int64_t k = 0; k < 4; ++k) {
    prefetch_channel(channels_of<T>(group, group.boxes) + k * group.boxes.stride_channel, runs);
  }
}

template <typename T>
void read_corners(const Group& group, const Runs& runs, Corners& corners) {
  vectorised([=, &runs, &corners, channels = channels_of<T>(group, group.boxes),
              stride = group.boxes.stride_channel](auto cpu) {
    for (int64_t k = 0; k < 4; ++k) {
      copy_channel<cpu()>(channels + k * stride, runs, corners.box[k]);
    }
  });
}

template <typename T>
void read_gt_corners(const AssignCostParams& p, const Group& group, Corners& corners) {
  for (int64_t i = 0; i < group.count; ++i) {
    const T* gt = static_cast<const T*>(p.gt_boxes) + 4 * group.row[i];
    for (int64_t k = 0; k < 4; ++k) {
      corners.gt[k][i] = static_cast<float>(gt[k]);
    }
  }
}

void add_box_costs(const AssignCostParams& p, const Group& group, const Runs& runs, float* cost) {
  Corners corners;
  dispatch_floating(p.boxes.dtype, [&]<typename T>() { read_corners<T>(group, runs, corners); });
  dispatch_floating(p.gt_dtype, [&]<typename T>() { read_gt_corners<T>(p, group, corners); });
  with_constant(p.options.box_cost, [&](auto mode) {
    vectorised([=, &corners, options = p.options, count = group.count]() mutable {
      options.box_cost = decltype(mode)::value;
      const auto& [box, gt] = corners;
      for (int64_t i = 0; i < count; ++i) {
        cost[i] += box_cost(Box<float>{box[0][i], box[1][i], box[2][i], box[3][i]},
                            Box<float>{gt[0][i], gt[1][i], gt[2][i], gt[3][i]}, options);
      }
    });
  });
}

void write_group(const AssignCostParams& p, const Group& group) {
  float cost[kGroup];
  const Runs box_runs = runs_of(group, group.boxes);
  dispatch_floating(p.boxes.dtype, [&]<typename T>() { prefetch_corners<T>(group, box_runs); });
  write_class_costs(p, group, cost);
  add_box_costs(p, group, box_runs, cost);
  float* of_image = p.cost + group.image * p.anchor_count;
  for (int64_t i = 0; i < group.count; ++i) {
    of_image[group.anchor[i]] = cost[i];
  }
}

// Writes the costs of anchors begin..end, which are on one level of the logits and on one level of the boxes.
void write_costs_of_level(const AssignCostParams& p, Group& group, int64_t begin, int64_t end) {
  group.count = 0;
  for_each_matched(p.matched + group.image * p.anchor_count, begin, end, [&](int64_t anchor, int64_t row) {
    group.anchor[group.count] = anchor;
    group.row[group.count] = row;
    if (++group.count == kGroup) {
      write_group(p, group);
      group.count = 0;
    }
  });
  if (group.count > 0) {
    write_group(p, group);
  }
}

struct AssignCostCpu {
  static void run(const AssignCostCall& call) {
    const AssignCostParams& p = call.params;
    check_labels_exist(p);
    check_matched(p.matched, p.images, p.anchor_count, p.objects);  // on CUDA, has_cost skips wrong ones
    for_batches(p.images, p.anchor_count, kAnchorsAThread,
                [&](int64_t image, int64_t begin, int64_t end) { write_costs(p, image, begin, end); });
  }
};

}  // namespace

void check_labels_exist(const AssignCostParams& p) {
  for (int64_t row = 0; row < p.objects; ++row) {
    check(p.gt_labels[row] >= 0 && p.gt_labels[row] < p.classes, "gt_labels should be in 0..", p.classes - 1, ", got ",
          p.gt_labels[row], " at row ", row);
  }
}

void write_costs(const AssignCostParams& p, int64_t image, int64_t begin, int64_t end) {
  std::fill(p.cost + image * p.anchor_count + begin, p.cost + image * p.anchor_count + end, kNoCost);
  Group group;
  group.image = image;
  for (int l = 0; l < p.logits.count; ++l) {
    group.logits = p.logits.level[l];
    for (int b = 0; b < p.boxes.count; ++b) {  // mostly the same levels as those of the logits, but not always
      group.boxes = p.boxes.level[b];
      const int64_t first = std::max(group.logits.first_anchor, group.boxes.first_anchor);
      const int64_t last = std::min(p.logits.end_of(l, p.anchor_count), p.boxes.end_of(b, p.anchor_count));
      write_costs_of_level(p, group, std::max(begin, first), std::min(end, last));
    }
  }
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("assign_cost", COLAD_BOX(&colad::assign_cost_op<colad::AssignCostCpu>));
}
