// Predictions as one view (B, A_l, channels) a level. Views have any strides and are read in place: NCHW maps are never
// copied to (B, A, C).
#pragma once

#include <vector>

#include "common/check.h"
#include "common/dispatch.h"

namespace colad {

constexpr int kMaxLevels = 16;  // P2..P7 and more; bounds the size of kernel arguments

struct LevelView {
  const void* data;
  int64_t first_anchor;  // the number of anchors of all levels before this one
  int64_t stride_image, stride_anchor, stride_channel;
};

struct LevelViews {
  LevelView level[kMaxLevels];
  int count;
  torch::headeronly::ScalarType dtype;

  // One past the last anchor of level `l`. `anchors` is the number of anchors of all levels.
  int64_t end_of(int l, int64_t anchors) const { return l + 1 < count ? level[l + 1].first_anchor : anchors; }

  COLAD_HD const LevelView& of_anchor(int64_t anchor) const {
    int l = 0;
    while (l + 1 < count && anchor >= level[l + 1].first_anchor) {
      ++l;
    }
    return level[l];
  }
};

// Where the channels of one anchor start, and the step between them, in elements.
struct ChannelRow {
  const void* data;
  int64_t start, stride;
};

COLAD_HD ChannelRow channel_row(const LevelViews& views, int64_t image, int64_t anchor) {
  const LevelView& level = views.of_anchor(anchor);
  return {level.data, image * level.stride_image + (anchor - level.first_anchor) * level.stride_anchor,
          level.stride_channel};
}

// Checks that `levels` are views (B, A_l, channels) that together have `anchors` anchors, and packs them.
inline LevelViews check_levels(const std::vector<Tensor>& levels, const char* name, int64_t images, int64_t anchors,
                               int64_t channels, const Tensor& other, const char* other_name) {
  check(!levels.empty() && levels.size() <= kMaxLevels, name, " should have 1 to ", kMaxLevels, " levels, got ",
        levels.size());
  LevelViews views{};
  views.count = static_cast<int>(levels.size());
  views.dtype = levels[0].scalar_type();
  int64_t first = 0;
  for (size_t l = 0; l < levels.size(); ++l) {
    const Tensor& level = levels[l];
    check_floating(level, name);
    check_same_dtype(level, name, levels[0], "its first level");
    check_same_device(level, name, other, other_name);
    const Sizes sizes = level.sizes();
    if (sizes.size() != 3 || sizes[0] != images || sizes[2] != channels) {
      fail(name, " level ", l, " should have shape (", images, ", anchors of the level, ",
           channels < 0 ? "C" : std::to_string(channels), "), got ", shape_of(level));
    }
    const Sizes strides = level.strides();
    views.level[l] = {level.data_ptr(), first, strides[0], strides[1], strides[2]};
    first += sizes[1];
  }
  check(first == anchors, name, " should have ", anchors, " anchors over all levels, got ", first);
  return views;
}

}  // namespace colad
