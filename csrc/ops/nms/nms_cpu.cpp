// batched_nms and nms_keep on the CPU: the groups in parallel. How a group is suppressed is in suppress_group.h.
#include "common/boxed.h"
#include "ops/nms/box_order.h"
#include "ops/nms/nms.h"
#include "ops/nms/suppress_group.h"

namespace colad {
namespace {

// A thread gets at least this many pairs of boxes (about 100 us of work). Fewer are not worth a second thread.
constexpr double kPairsAThread = 1 << 18;

// `begins` has the first box of each group, and the number of boxes. `box(i)` is the i-th box of all groups.
template <typename C, typename Load>
void suppress_groups(const std::vector<int64_t>& begins, Load box, double iou_threshold, uint8_t* keep) {
  const int64_t groups = static_cast<int64_t>(begins.size()) - 1;
  const auto suppress = [&](int64_t first, int64_t last) {
    SuppressGroup<C> group(iou_threshold);
    for (int64_t g = first; g < last; ++g) {
      const int64_t begin = begins[g], count = begins[g + 1] - begin;
      if (count == 1) {
        keep[begin] = 1;
      } else {
        group(count, [&](int64_t i) { return box(begin + i); }, keep + begin);
      }
    }
  };
  double pairs = 1;
  for (int64_t g = 0; g < groups; ++g) {
    const double count = static_cast<double>(begins[g + 1] - begins[g]);
    pairs += count * count / 2;
  }
  if (groups <= 1 || pairs < 2 * kPairsAThread) {
    suppress(0, groups);
    return;
  }
  const auto grain = static_cast<int64_t>(static_cast<double>(groups) * kPairsAThread / pairs) + 1;
  torch::stable::parallel_for(0, groups, grain, suppress);
}

struct NmsCpu {
  static void run(const NmsCall& call) {
    const NmsParams& p = call.params;
    std::vector<int64_t> begins;
    for (int64_t i = 0; i < p.count; ++i) {
      if (p.starts_group(i)) {
        begins.push_back(i);
      }
    }
    begins.push_back(p.count);
    dispatch_floating(call.dtype, [&]<typename T>() {
      const auto box = [boxes = static_cast<const T*>(p.boxes)](int64_t i) { return load_box(boxes, i); };
      suppress_groups<compute_t<T>>(begins, box, p.iou_threshold, reinterpret_cast<uint8_t*>(p.keep));
    });
  }
};

struct BatchedNmsCpu {
  static Tensor run(const BatchedNmsCall& call) {
    check_scores(call.scores, "scores");
    const auto* offsets = data_or_null<int64_t>(call.image_offsets);
    if (offsets != nullptr) {
      check_offsets_ascend(offsets, call.images, call.count, "image_offsets");
    }
    const std::vector<uint32_t> rows = rows_by_score(call.scores.data_ptr(), call.scores.scalar_type(), call.count);
    const BoxGroups groups =
        group_boxes(rows, static_cast<const int64_t*>(call.labels.data_ptr()), offsets, call.images);
    std::vector<uint8_t> keep(call.count), keep_of_rank(call.count);
    dispatch_floating(call.boxes.scalar_type(), [&]<typename T>() {
      const auto box = [&, boxes = static_cast<const T*>(call.boxes.data_ptr())](int64_t i) {
        return load_box(boxes, rows[groups.places[i]]);
      };
      suppress_groups<compute_t<T>>(groups.begins, box, call.iou_threshold, keep.data());
    });
    int64_t kept = 0;
    for (int64_t i = 0; i < call.count; ++i) {
      keep_of_rank[groups.places[i]] = keep[i];
      kept += keep[i];
    }
    Tensor result = new_tensor(call.boxes, {kept}, ScalarType::Long);
    auto* next = static_cast<int64_t*>(result.data_ptr());
    for (int64_t rank = 0; rank < call.count; ++rank) {
      if (keep_of_rank[rank] != 0) {
        *next++ = rows[rank];
      }
    }
    return result;
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("nms_keep", COLAD_BOX(&colad::nms_keep_op<colad::NmsCpu>));
  m.impl("batched_nms", COLAD_BOX(&colad::batched_nms_op<colad::BatchedNmsCpu>));
}
