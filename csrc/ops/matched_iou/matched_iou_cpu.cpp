// matched_box_iou on the CPU. Anchors with an object are gathered in blocks; the others cost a look at `matched`.
#include <cstring>

#include "common/boxed.h"
#include "common/cpu_capability.h"
#include "ops/iou/pair_block.h"
#include "ops/match_anchors/matched_anchors.h"
#include "ops/matched_iou/matched_iou.h"

namespace colad {
namespace {

constexpr int64_t kAnchorsAThread = 1 << 15;  // about 50 us of work where one anchor in ten has an object

// The operands of a call as the loops capture them: by value.
template <typename T>
struct MatchedBoxes {
  const T *boxes, *gt_boxes, *grad;
  const int64_t* matched;
  T* out;

  explicit MatchedBoxes(const MatchedIouParams& p)
      : boxes(static_cast<const T*>(p.boxes)),
        gt_boxes(static_cast<const T*>(p.gt_boxes)),
        grad(static_cast<const T*>(p.grad)),
        matched(p.matched),
        out(static_cast<T*>(p.out)) {}
};

// Calls write(block, anchors, count) for blocks of the anchors begin..end that have an object. Their boxes and objects
// are in the block.
template <IouMode mode, typename T, typename Write>
void for_blocks(const MatchedBoxes<T>& of, int64_t begin, int64_t end, Write write) {
  using Block = PairBlock<mode, compute_t<T>>;
  Block block;
  int64_t anchors[Block::kPairs], count = 0;
  for_each_matched(of.matched, begin, end, [&](int64_t anchor, int64_t row) {
    block.first.set(count, load_box(of.boxes, anchor));
    block.second.set(count, load_box(of.gt_boxes, row));
    anchors[count] = anchor;
    if (++count == Block::kPairs) {
      write(block, anchors, count);
      count = 0;
    }
  });
  write(block, anchors, count);
}

template <IouMode mode, typename T>
void write_values(const MatchedIouParams& p, int64_t begin, int64_t end) {
  std::memset(static_cast<T*>(p.out) + begin, 0, (end - begin) * sizeof(T));
  vectorised([of = MatchedBoxes<T>(p), begin, end] {
    for_blocks<mode>(of, begin, end, [=](auto& block, const int64_t* anchors, int64_t count) {
      block.compute(count);
      for (int64_t k = 0; k < count; ++k) {
        of.out[anchors[k]] = static_cast<T>(block.value[k]);
      }
    });
  });
}

template <IouMode mode, typename T>
void write_gradients(const MatchedIouParams& p, int64_t begin, int64_t end) {
  std::memset(static_cast<T*>(p.out) + 4 * begin, 0, 4 * (end - begin) * sizeof(T));
  vectorised([of = MatchedBoxes<T>(p), begin, end] {
    for_blocks<mode>(of, begin, end, [=](auto& block, const int64_t* anchors, int64_t count) {
      for (int64_t k = 0; k < count; ++k) {
        block.grad[k] = static_cast<compute_t<T>>(of.grad[anchors[k]]);
      }
      block.differentiate(count);
      for (int64_t k = 0; k < count; ++k) {
        store_box(of.out, anchors[k], block.d_first.at(k));
      }
    });
  });
}

struct MatchedIouCpu {
  static void run(const MatchedIouCall& call) {
    each_part(call, []<IouMode mode, typename T>(const MatchedIouParams& p, int64_t begin, int64_t end) {
      write_values<mode, T>(p, begin, end);
    });
  }

  static void run_backward(const MatchedIouCall& call) {
    each_part(call, []<IouMode mode, typename T>(const MatchedIouParams& p, int64_t begin, int64_t end) {
      write_gradients<mode, T>(p, begin, end);
    });
  }

 private:
  // Calls write<mode, T>(params, begin, end) for the parts of the threads.
  template <typename Write>
  static void each_part(const MatchedIouCall& call, Write write) {
    const MatchedIouParams& p = call.params;
    check_matched(p.matched, p.images, p.anchors, p.objects);
    dispatch_floating(call.dtype, [&]<typename T>() {
      with_constant(p.mode, [&](auto mode) {
        torch::stable::parallel_for(0, p.count(), kAnchorsAThread, [&](int64_t begin, int64_t end) {
          write.template operator()<decltype(mode)::value, T>(p, begin, end);
        });
      });
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("matched_box_iou", COLAD_BOX(&colad::matched_box_iou_op<colad::MatchedIouCpu>));
  m.impl("matched_box_iou_backward", COLAD_BOX(&colad::matched_box_iou_backward_op<colad::MatchedIouCpu>));
}
