// The work of the two passes of match_anchors: tiles of anchors, one anchor a thread, times parts of the objects or of
// the images.
#pragma once

#include <limits>

#include "common/cuda.cuh"
#include "ops/match_anchors/match_anchors.h"

namespace colad {

// Threads of a block and anchors of a tile. Not tuned on a card.
constexpr int kTile = 128;

// Every tile makes an item of work with every part. A block works on one item after the other: it begins with item
// blockIdx.x and goes on by `grid` items.
struct Items {
  unsigned tiles, parts, grid, tile_step, part_step;

  // Of `count` objects or images, `part` to a part.
  Items(int64_t anchors, int64_t count, int64_t part)
      : tiles(static_cast<unsigned>((anchors + kTile - 1) / kTile)),
        parts(static_cast<unsigned>((count + part - 1) / part)),
        grid(grid_for(int64_t(tiles) * parts, 1)),
        tile_step(grid % tiles),
        part_step(grid / tiles) {}
};

// Calls visit(tile, part) for the items of this block.
template <typename Visit>
__device__ void for_each_item(const Items& items, Visit visit) {
  unsigned part = blockIdx.x / items.tiles, tile = blockIdx.x - part * items.tiles;
  while (part < items.parts) {
    visit(tile, part);
    part += items.part_step;
    tile += items.tile_step;
    if (tile >= items.tiles) {
      tile -= items.tiles;
      ++part;
    }
  }
}

// A box that reaches nothing.
template <typename C>
__device__ Box<C> box_of_nothing() {
  constexpr C kInfinity = std::numeric_limits<C>::infinity();
  return {kInfinity, kInfinity, -kInfinity, -kInfinity};
}

// The anchor of this thread in a tile. It takes no part if it is not valid in any image, or if its area is NaN. Then
// its box reaches nothing, and its area is one of the two constants.
template <typename C>
struct TileAnchor {
  static constexpr C kNoPart = C(-1), kPastTheEnd = C(-2);
  int64_t anchor;
  MatchBox<C> box;

  __device__ bool exists() const { return box.area != kPastTheEnd; }

  // An anchor may be valid in some images only.
  __device__ bool takes_part_in(const MatchParams& p, int64_t image) const {
    return box.area >= C(0) && (p.valid_stride_image == 0 || anchor_is_valid(p, image, anchor));
  }
};

template <typename T>
__device__ TileAnchor<compute_t<T>> anchor_of_tile(const MatchParams& p, unsigned tile) {
  using C = compute_t<T>;
  TileAnchor<C> own{int64_t(tile) * kTile + threadIdx.x, {box_of_nothing<C>(), TileAnchor<C>::kPastTheEnd}};
  if (own.anchor < p.anchor_count) {
    own.box.area = TileAnchor<C>::kNoPart;
    if (p.valid_stride_image != 0 || anchor_is_valid(p, 0, own.anchor)) {
      const MatchBox<C> box = measured_box<T>(p, p.anchors, own.anchor);
      own.box = box.area == box.area ? box : own.box;
    }
  }
  return own;
}

}  // namespace colad
