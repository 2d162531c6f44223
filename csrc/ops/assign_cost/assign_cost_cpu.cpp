// assign_cost on the CPU: only matched anchors cost anything. They are taken in groups; class after class the group's
// logits are gathered from the maps and their losses added side by side.
#include "ops/assign_cost/assign_cost_cpu.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>

#include "common/cpu_capability.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 14;  // with one in ten matched, about 100 us of work
constexpr int64_t kGroup = 64;
constexpr int64_t kAhead = 4;
constexpr int64_t kWidth = 16;  // groups are computed in whole vectors of the widest kind
constexpr int64_t kTile = 16;   // anchors looked at together: most of them are not matched

// Candidates on one level of one image, ascending.
struct Group {
  LevelView logits;
  int64_t image, count;
  int64_t anchor[kGroup], row[kGroup];
};

// How the class predictions become a cost. The usual cases are constants: a loop that asks at every logit, or calls
// pow, is not vectorised.
enum class ClassCost { logits_gamma_2, logits, probabilities };

template <typename T, ClassCost kKind>
inline void add_class_costs(const AssignCostParams& p, const Group& group, float* cost) {
  float prediction[kGroup], sum[kGroup];
  int32_t label[kGroup];
  int64_t start[kGroup];
  const int64_t count = group.count, padded = (count + kWidth - 1) / kWidth * kWidth;
  for (int64_t i = 0; i < padded; ++i) {
    const int64_t filled = std::min(i, count - 1);
    start[i] = (group.anchor[filled] - group.logits.first_anchor) * group.logits.stride_anchor;
    label[i] = static_cast<int32_t>(p.gt_labels[group.row[filled]]);
    sum[i] = 0.0f;
  }
  // Neighbours share a cache line.
  int64_t line[kGroup], lines = 0;
  constexpr int64_t kLine = 64 / sizeof(T);
  const int64_t begin = group.image * group.logits.stride_image;
  for (int64_t i = 0; i < count; ++i) {
    if (i == 0 || (begin + start[i]) / kLine != (begin + start[i - 1]) / kLine) {
      line[lines++] = start[i];
    }
  }
  FocalOptions<float> options = p.options.focal;
  if constexpr (kKind == ClassCost::logits_gamma_2) {
    options.gamma = 2.0f;
  }
  const T* plane = static_cast<const T*>(group.logits.data) + group.image * group.logits.stride_image;
  const int64_t stride = group.logits.stride_channel;
  const int32_t classes = static_cast<int32_t>(p.classes);
  for (int32_t c = 0; c < classes; ++c, plane += stride) {
    for (int64_t i = 0; i < lines; ++i) {
      __builtin_prefetch(plane + (c + kAhead < classes ? kAhead : 0) * stride + line[i]);
    }
    for (int64_t i = 0; i < padded; ++i) {
      prediction[i] = static_cast<float>(plane[start[i]]);
    }
    for (int64_t first = 0; first < padded; first += kWidth) {
      for (int64_t i = first; i < first + kWidth; ++i) {
        const bool target = label[i] == c;
        sum[i] += kKind == ClassCost::probabilities ? focal_loss_of_probability(prediction[i], target, options)
                                                    : focal_loss(prediction[i], target, options);
      }
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    cost[i] += sum[i];
  }
}

template <IouMode kMode>
inline void add_box_costs(const AssignCostParams& p, const Group& group, float* cost) {
  float box[4][kGroup], gt[4][kGroup];
  const int64_t count = group.count;
  for (int64_t i = 0; i < count; ++i) {
    const ChannelRow corner = channel_row(p.boxes, group.image, group.anchor[i]);
    for (int64_t k = 0; k < 4; ++k) {
      box[k][i] = load_float(corner.data, corner.start + k * corner.stride, p.boxes.dtype);
      gt[k][i] = load_float(p.gt_boxes, 4 * group.row[i] + k, p.gt_dtype);
    }
  }
  AssignCostOptions options = p.options;
  options.box_cost = kMode;
  for (int64_t i = 0; i < count; ++i) {
    cost[i] += box_cost(Box<float>{box[0][i], box[1][i], box[2][i], box[3][i]},
                        Box<float>{gt[0][i], gt[1][i], gt[2][i], gt[3][i]}, options);
  }
}

template <typename T, ClassCost kKind>
inline void write_group(const AssignCostParams& p, const Group& group) {
  float cost[kGroup];
  std::fill(cost, cost + group.count, 0.0f);
  add_class_costs<T, kKind>(p, group, cost);
  switch (p.options.box_cost) {
    case IouMode::iou:
      add_box_costs<IouMode::iou>(p, group, cost);
      break;
    case IouMode::iof:
      add_box_costs<IouMode::iof>(p, group, cost);
      break;
    case IouMode::giou:
      add_box_costs<IouMode::giou>(p, group, cost);
      break;
    case IouMode::diou:
      add_box_costs<IouMode::diou>(p, group, cost);
      break;
    case IouMode::ciou:
      add_box_costs<IouMode::ciou>(p, group, cost);
      break;
  }
  float* of_image = p.cost + group.image * p.anchor_count;
  for (int64_t i = 0; i < group.count; ++i) {
    of_image[group.anchor[i]] = cost[i];
  }
}

template <typename T, ClassCost kKind>
inline void write_costs_as(const AssignCostParams& p, int64_t image, int64_t begin, int64_t end) {
  const int64_t* matched = p.matched + image * p.anchor_count;
  std::fill(p.cost + image * p.anchor_count + begin, p.cost + image * p.anchor_count + end, kNoCost);
  Group group;
  group.image = image;
  for (int l = 0; l < p.logits.count; ++l) {
    group.logits = p.logits.level[l];
    group.count = 0;
    const int64_t first = std::max(begin, group.logits.first_anchor);
    const int64_t last = l + 1 < p.logits.count ? std::min(end, p.logits.level[l + 1].first_anchor) : end;
    for (int64_t tile = first; tile < last; tile += kTile) {
      const int64_t stop = std::min(tile + kTile, last);
      int64_t all = -1;
      for (int64_t anchor = tile; anchor < stop; ++anchor) {
        all &= matched[anchor];
      }
      if (all < 0) {  // as every row of theirs
        continue;
      }
      for (int64_t anchor = tile; anchor < stop; ++anchor) {
        if (matched[anchor] >= 0) {
          group.anchor[group.count] = anchor;
          group.row[group.count] = matched[anchor];
          if (++group.count == kGroup) {
            write_group<T, kKind>(p, group);
            group.count = 0;
          }
        }
      }
    }
    if (group.count > 0) {
      write_group<T, kKind>(p, group);
    }
  }
}

// On the CPU what only the data can tell is checked before anything is computed.
void check_data(const AssignCostParams& p) {
  for (int64_t row = 0; row < p.objects; ++row) {
    check(p.gt_labels[row] >= 0 && p.gt_labels[row] < p.classes, "gt_labels should be in 0..", p.classes - 1, ", got ",
          p.gt_labels[row], " at row ", row);
  }
  for (int64_t i = 0; i < p.images * p.anchor_count; ++i) {
    check(p.matched[i] >= kIgnored && p.matched[i] < p.objects, "matched should be in -2..", p.objects - 1, ", got ",
          p.matched[i], " at image ", i / p.anchor_count, ", anchor ", i % p.anchor_count);
  }
}

Tensor assign_cost_cpu(std::vector<Tensor> logits, std::vector<Tensor> boxes, const Tensor& gt_boxes,
                       const Tensor& gt_labels, const Tensor& matched, double alpha, double gamma, std::string box_cost,
                       double box_weight, bool probs) {
  const AssignCostCall call =
      assign_cost_contract(logits, boxes, gt_boxes, gt_labels, matched, alpha, gamma, box_cost, box_weight, probs);
  const AssignCostParams& p = call.params;
  check_data(p);
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

void write_costs(const AssignCostParams& p, int64_t image, int64_t begin, int64_t end) {
  const auto run = [&](auto kind) {
    constexpr ClassCost kKind = decltype(kind)::value;
    COLAD_DISPATCH_FLOATING(
        p.logits.dtype, vectorised([&p, image, begin, end] { write_costs_as<scalar_t, kKind>(p, image, begin, end); }));
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
