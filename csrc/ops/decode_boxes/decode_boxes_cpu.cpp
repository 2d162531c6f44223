// decode_boxes and its backward on the CPU, in blocks of anchors. The anchors of a block are brought to centres and
// sizes once for all images. The channels of a map are read and written in place where they are arrays of the compute
// type; otherwise a block of them is copied.
#include <algorithm>
#include <type_traits>

#include "common/batches.h"
#include "common/cpu_capability.h"
#include "common/strided_arrays.h"
#include "ops/decode_boxes/decode_boxes.h"

namespace colad {
namespace {

constexpr int64_t kBlock = 2048;        // anchors; measured: 512 are 6 % slower where the maps come from memory
constexpr int64_t kBlocksAThread = 16;  // about 100 us of work

// Anchors begin..begin + count of one level.
struct AnchorBlock {
  int level;
  int64_t begin, count;
};

AnchorBlock block_at(const DeltaLevels& levels, int64_t block) {
  for (int l = 0;; ++l) {
    const int64_t anchors = levels.level[l].anchors(), blocks = (anchors + kBlock - 1) / kBlock;
    if (block < blocks) {
      return {l, block * kBlock, std::min(kBlock, anchors - block * kBlock)};
    }
    block -= blocks;
  }
}

int64_t blocks_of(const DeltaLevels& levels) {
  int64_t blocks = 0;
  for (int l = 0; l < levels.count; ++l) {
    blocks += (levels.level[l].anchors() + kBlock - 1) / kBlock;
  }
  return blocks;
}

// The values of the anchors of a block, an array a coordinate or channel.
template <typename C>
struct BlockArrays {
  alignas(64) C anchor[4][kBlock], delta[4][kBlock];
};

template <typename A, typename C>
void read_anchors(const DecodeParams& p, int64_t first, int64_t count, BlockArrays<C>& arrays) {
  const A* anchors = static_cast<const A*>(p.anchors) + 4 * first;
  vectorised([=, x = arrays.anchor[0], y = arrays.anchor[1], w = arrays.anchor[2], h = arrays.anchor[3]] {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
      const A* at = anchors + 4 * i;
      const CentredBox<C> anchor =
          centred(Box<C>{static_cast<C>(at[0]), static_cast<C>(at[1]), static_cast<C>(at[2]), static_cast<C>(at[3])});
      x[i] = anchor.x, y[i] = anchor.y, w[i] = anchor.w, h[i] = anchor.h;
    }
  });
}

// Calls visit(element, stride, first, step, length) for the runs of a block: elements of one channel of `level`, of
// which each is `stride` after the one before, and their places first, first + step, ... in the block. There is one run
// for each anchor of a location.
template <typename Visit>
void for_runs(const DeltaLevel& level, const AnchorBlock& block, Visit visit) {
  for (int64_t shape = 0; shape < level.shapes; ++shape) {
    const int64_t first = quotient(block.begin - shape + level.shapes - 1, level.shapes);  // location
    const int64_t place = first * level.shapes + shape - block.begin;
    if (place < block.count) {
      visit(first * level.stride_location + shape * level.stride_shape, level.stride_location, place, level.shapes,
            (block.count - place + level.shapes - 1) / level.shapes);
    }
  }
}

template <typename T>
bool is_in_place(const DeltaLevel& level) {
  return std::is_same_v<T, compute_t<T>> && level.shapes == 1 && level.stride_location == 1;
}

template <typename T>
T* channel_of(const DeltaLevel& level, int64_t image, int64_t channel) {
  return static_cast<T*>(level.data) + image * level.stride_image + channel * level.stride_channel;
}

// The values of a channel: in place if possible, otherwise copied to `buffer`.
template <typename T, typename C>
const C* read_channel(const DeltaLevel& level, const AnchorBlock& block, int64_t image, int64_t channel, C* buffer) {
  const T* from = channel_of<T>(level, image, channel);
  if constexpr (std::is_same_v<T, C>) {
    if (is_in_place<T>(level)) {
      return from + block.begin;
    }
  }
  vectorised([=](auto cpu) {
    for_runs(level, block, [&](int64_t element, int64_t stride, int64_t place, int64_t step, int64_t length) {
      if (step == 1) {
        gather<cpu()>(from + element, stride, length, buffer + place);
        return;
      }
      for (int64_t i = 0; i < length; ++i) {
        convert<cpu()>(from[element + i * stride], buffer[place + i * step]);
      }
    });
  });
  return buffer;
}

// Where the gradient of a channel is computed: in place if possible, otherwise in `buffer`, which write_channel copies.
template <typename T, typename C>
C* channel_of_result(const DeltaLevel& level, const AnchorBlock& block, int64_t image, int64_t channel, C* buffer) {
  if constexpr (std::is_same_v<T, C>) {
    if (is_in_place<T>(level)) {
      return channel_of<T>(level, image, channel) + block.begin;
    }
  }
  return buffer;
}

template <typename T, typename C>
void write_channel(const DeltaLevel& level, const AnchorBlock& block, int64_t image, int64_t channel, const C* buffer) {
  if (is_in_place<T>(level)) {
    return;
  }
  T* to = channel_of<T>(level, image, channel);
  vectorised([=](auto cpu) {
    for_runs(level, block, [&](int64_t element, int64_t stride, int64_t place, int64_t step, int64_t length) {
      if (step == 1) {
        scatter<cpu()>(buffer + place, length, to + element, stride);
        return;
      }
      for (int64_t i = 0; i < length; ++i) {
        convert<cpu()>(buffer[place + i * step], to[element + i * stride]);
      }
    });
  });
}

template <typename T>
void decode_block(const DecodeParams& p, const AnchorBlock& block, int64_t image, BlockArrays<compute_t<T>>& arrays) {
  using C = compute_t<T>;
  const DeltaLevel& level = p.deltas.level[block.level];
  const C* delta[4];
  for (int k = 0; k < 4; ++k) {
    delta[k] = read_channel<T>(level, block, image, k, arrays.delta[k]);
  }
  C* boxes = static_cast<C*>(p.boxes) + 4 * (image * p.anchor_count + level.first_anchor + block.begin);
  vectorised([=, options = p.options_of<C>(), count = block.count, x = arrays.anchor[0], y = arrays.anchor[1],
              w = arrays.anchor[2], h = arrays.anchor[3], dx = delta[0], dy = delta[1], dw = delta[2], dh = delta[3]] {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
      const Box<C> box =
          decode_box(CentredBox<C>{x[i], y[i], w[i], h[i]}, BoxDeltas<C>{dx[i], dy[i], dw[i], dh[i]}, options);
      boxes[4 * i] = box.x1, boxes[4 * i + 1] = box.y1, boxes[4 * i + 2] = box.x2, boxes[4 * i + 3] = box.y2;
    }
  });
}

template <typename T>
void differentiate_block(const DecodeParams& p, const AnchorBlock& block, int64_t image,
                         BlockArrays<compute_t<T>>& arrays) {
  using C = compute_t<T>;
  const DeltaLevel &level = p.deltas.level[block.level], &result = p.gradients.level[block.level];
  alignas(64) C sides[2][kBlock];
  const C* dw = read_channel<T>(level, block, image, 2, sides[0]);
  const C* dh = read_channel<T>(level, block, image, 3, sides[1]);
  C* out[4];
  for (int k = 0; k < 4; ++k) {
    out[k] = channel_of_result<T>(result, block, image, k, arrays.delta[k]);
  }
  const C* grad = static_cast<const C*>(p.grad) + 4 * (image * p.anchor_count + level.first_anchor + block.begin);
  vectorised([=, options = p.options_of<C>(), count = block.count, x = arrays.anchor[0], y = arrays.anchor[1],
              w = arrays.anchor[2], h = arrays.anchor[3], by_x = out[0], by_y = out[1], by_w = out[2], by_h = out[3]] {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
      const Box<C> of_box{grad[4 * i], grad[4 * i + 1], grad[4 * i + 2], grad[4 * i + 3]};
      const BoxDeltas<C> by = decode_box_backward(CentredBox<C>{x[i], y[i], w[i], h[i]}, dw[i], dh[i], options, of_box);
      by_x[i] = by.dx, by_y[i] = by.dy, by_w[i] = by.dw, by_h[i] = by.dh;
    }
  });
  for (int k = 0; k < 4; ++k) {
    write_channel<T>(result, block, image, k, arrays.delta[k]);
  }
}

struct DecodeBoxesCpu {
  template <typename T, bool kBackward>
  static void run(const DecodeCall& call) {
    using C = compute_t<T>;
    const DecodeParams& p = call.params;
    for_batches(blocks_of(p.deltas), p.images, kBlocksAThread, [&](int64_t index, int64_t begin, int64_t end) {
      const AnchorBlock block = block_at(p.deltas, index);
      BlockArrays<C> arrays;
      const int64_t first = p.deltas.level[block.level].first_anchor + block.begin;
      dispatch_floating(p.anchor_dtype, [&]<typename A>() { read_anchors<A>(p, first, block.count, arrays); });
      for (int64_t image = begin; image < end; ++image) {
        if constexpr (kBackward) {
          differentiate_block<T>(p, block, image, arrays);
        } else {
          decode_block<T>(p, block, image, arrays);
        }
      }
    });
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CPU, m) {
  m.impl("decode_boxes", COLAD_BOX(&colad::decode_boxes_op<colad::DecodeBoxesCpu>));
  m.impl("decode_boxes_backward", COLAD_BOX(&colad::decode_boxes_backward_op<colad::DecodeBoxesCpu>));
}
