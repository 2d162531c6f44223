// assign_cost on the CPU: only matched anchors cost anything. They are taken in groups: of some classes after the other
// the group's logits are gathered from the maps, and their losses added side by side.
#include "ops/assign_cost/assign_cost_cpu.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <type_traits>

#include "common/cpu_capability.h"
#include "ops/matching/matched_anchors.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 14;  // with one in ten matched, about 100 us of work
constexpr int64_t kGroup = 64;
constexpr int64_t kWidth = 16;  // groups are computed in whole vectors of the widest kind
constexpr int64_t kLineBytes = 64;
constexpr int64_t kClasses = 2;  // read before their losses are computed
constexpr int64_t kAhead = 8;    // classes: each lies far from the last, so its cache lines are asked for in time

// Candidates on one level of one image, ascending.
struct Group {
  LevelView logits;
  int64_t image, count;
  int64_t anchor[kGroup], row[kGroup];

  int64_t padded() const { return (count + kWidth - 1) / kWidth * kWidth; }
};

struct ClassSums {
  float prediction[kClasses][kGroup], sum[kGroup];
  int32_t label[kGroup];
};

// How the class predictions become a cost. The usual cases are constants: a loop that asks at every logit, or calls
// pow, is not vectorised.
enum class ClassCost { logits_gamma_2, logits, probabilities };

template <ClassCost kKind>
void add_losses(ClassSums& sums, int32_t first_class, int32_t classes, int64_t padded,
                const FocalOptions<float>& focal) {
  vectorised_fused([=, &sums] {
    FocalOptions<float> options = focal;
    if constexpr (kKind == ClassCost::logits_gamma_2) {
      options.gamma = 2.0f;
    }
    for (int32_t c = 0; c < classes; ++c) {
      const float* prediction = sums.prediction[c];
      const int32_t* label = sums.label;
      float* sum = sums.sum;
#pragma GCC ivdep
      for (int64_t i = 0; i < padded; ++i) {
        const bool target = label[i] == first_class + c;
        sum[i] += kKind == ClassCost::probabilities ? focal_loss_of_probability(prediction[i], target, options)
                                                    : focal_loss(prediction[i], target, options);
      }
    }
  });
}

template <typename T, ClassCost kKind>
void write_class_costs(const AssignCostParams& p, const Group& group, float* cost) {
  alignas(64) ClassSums sums;
  int64_t start[kGroup];
  const int64_t padded = group.padded();
  for (int64_t i = 0; i < padded; ++i) {
    const int64_t candidate = std::min(i, group.count - 1);  // the last one fills the vector
    start[i] = (group.anchor[candidate] - group.logits.first_anchor) * group.logits.stride_anchor;
    sums.label[i] = static_cast<int32_t>(p.gt_labels[group.row[candidate]]);
    sums.sum[i] = 0.0f;
  }
  const T* plane = static_cast<const T*>(group.logits.data) + group.image * group.logits.stride_image;
  int64_t line[kGroup], lines = 0;  // one candidate of each cache line: neighbours share them
  uintptr_t last = 0;
  for (int64_t i = 0; i < group.count; ++i) {
    const uintptr_t own = reinterpret_cast<uintptr_t>(plane + start[i]) / kLineBytes;
    if (own != last) {
      line[lines++] = start[i];
    }
    last = own;
  }
  const int64_t stride = group.logits.stride_channel;
  for (int64_t first = 0; first < p.classes; first += kClasses) {
    const int64_t classes = std::min(kClasses, p.classes - first);
    for (int64_t c = 0; c < classes; ++c, plane += stride) {
      if (first + c + kAhead < p.classes) {
        for (int64_t i = 0; i < lines; ++i) {
          __builtin_prefetch(plane + kAhead * stride + line[i]);
        }
      }
      for (int64_t i = 0; i < padded; ++i) {
        sums.prediction[c][i] = static_cast<float>(plane[start[i]]);
      }
    }
    add_losses<kKind>(sums, static_cast<int32_t>(first), static_cast<int32_t>(classes), padded, p.options.focal);
  }
  std::copy_n(sums.sum, group.count, cost);
}

// The corners of the predicted boxes and of their objects, coordinate by coordinate.
struct Corners {
  float box[4][kGroup], gt[4][kGroup];
};

template <typename T>
void read_corners(const AssignCostParams& p, const Group& group, Corners& corners) {
  for (int64_t i = 0; i < group.count; ++i) {
    const ChannelRow corner = channel_row(p.boxes, group.image, group.anchor[i]);
    for (int64_t k = 0; k < 4; ++k) {
      corners.box[k][i] = static_cast<float>(static_cast<const T*>(corner.data)[corner.start + k * corner.stride]);
      corners.gt[k][i] = load_float(p.gt_boxes, 4 * group.row[i] + k, p.gt_dtype);
    }
  }
}

void add_box_costs(const AssignCostParams& p, const Group& group, float* cost) {
  Corners corners;
  COLAD_DISPATCH_FLOATING(p.boxes.dtype, read_corners<scalar_t>(p, group, corners));
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

template <typename T, ClassCost kKind>
void write_group(const AssignCostParams& p, const Group& group) {
  float cost[kGroup];
  write_class_costs<T, kKind>(p, group, cost);
  add_box_costs(p, group, cost);
  float* of_image = p.cost + group.image * p.anchor_count;
  for (int64_t i = 0; i < group.count; ++i) {
    of_image[group.anchor[i]] = cost[i];
  }
}

template <typename T, ClassCost kKind>
void write_costs_as(const AssignCostParams& p, int64_t image, int64_t begin, int64_t end) {
  const int64_t* matched = p.matched + image * p.anchor_count;
  std::fill(p.cost + image * p.anchor_count + begin, p.cost + image * p.anchor_count + end, kNoCost);
  Group group;
  group.image = image;
  for (int l = 0; l < p.logits.count; ++l) {
    group.logits = p.logits.level[l];
    group.count = 0;
    const int64_t first = std::max(begin, group.logits.first_anchor);
    const int64_t last = l + 1 < p.logits.count ? std::min(end, p.logits.level[l + 1].first_anchor) : end;
    for_each_matched(matched, first, last, [&](int64_t anchor, int64_t row) {
      group.anchor[group.count] = anchor;
      group.row[group.count] = row;
      if (++group.count == kGroup) {
        write_group<T, kKind>(p, group);
        group.count = 0;
      }
    });
    if (group.count > 0) {
      write_group<T, kKind>(p, group);
    }
  }
}

// On the CPU what only the data can tell is checked before anything is computed.
void check_matched(const AssignCostParams& p) {
  const int64_t* matched = p.matched;
  int64_t least = kIgnored, most = -1;
  for (int64_t i = 0; i < p.images * p.anchor_count; ++i) {
    least = std::min(least, matched[i]);
    most = std::max(most, matched[i]);
  }
  if (least >= kIgnored && most < p.objects) {
    return;
  }
  for (int64_t i = 0; i < p.images * p.anchor_count; ++i) {
    check(matched[i] >= kIgnored && matched[i] < p.objects, "matched should be in -2..", p.objects - 1, ", got ",
          matched[i], " at image ", i / p.anchor_count, ", anchor ", i % p.anchor_count);
  }
}

Tensor assign_cost_cpu(std::vector<Tensor> logits, std::vector<Tensor> boxes, const Tensor& gt_boxes,
                       const Tensor& gt_labels, const Tensor& matched, double alpha, double gamma, std::string box_cost,
                       double box_weight, bool probs) {
  const AssignCostCall call =
      assign_cost_contract(logits, boxes, gt_boxes, gt_labels, matched, alpha, gamma, box_cost, box_weight, probs);
  const AssignCostParams& p = call.params;
  check_labels_exist(p);
  check_matched(p);
  torch::stable::parallel_for(0, p.images * p.anchor_count, kAnchorsAThread, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t image = begin / p.anchor_count, first = image * p.anchor_count;
      const int64_t stop = std::min(end, first + p.anchor_count);
      write_costs(p, image, begin - first, stop - first);
      begin = stop;
    }
  });
  return call.cost;
}

}  // namespace

void check_labels_exist(const AssignCostParams& p) {
  for (int64_t row = 0; row < p.objects; ++row) {
    check(p.gt_labels[row] >= 0 && p.gt_labels[row] < p.classes, "gt_labels should be in 0..", p.classes - 1, ", got ",
          p.gt_labels[row], " at row ", row);
  }
}

void write_costs(const AssignCostParams& p, int64_t image, int64_t begin, int64_t end) {
  const auto run = [&](auto kind) {
    constexpr ClassCost kKind = decltype(kind)::value;
    COLAD_DISPATCH_FLOATING(p.logits.dtype, write_costs_as<scalar_t, kKind>(p, image, begin, end));
  };
  if (p.options.probs) {
    run(std::integral_constant<ClassCost, ClassCost::probabilities>{});
  } else if (p.options.focal.gamma == 2.0f) {
    run(std::integral_constant<ClassCost, ClassCost::logits_gamma_2>{});
  } else {
    run(std::integral_constant<ClassCost, ClassCost::logits>{});
  }
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) { m.impl("assign_cost", TORCH_BOX(&colad::assign_cost_cpu)); }
