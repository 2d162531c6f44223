// match_anchors on CUDA: two passes over (tile of anchors) x (objects of the image). Tiles of objects lie in shared
// memory.
//
// An object's best IoU is an integer atomic maximum of the bits of values >= 0, which have the order of the values.
// Each block first takes the maximum of its own anchors in shared memory and then updates global memory once per
// object. The result does not depend on the order of the updates.
#include "common/boxed.h"
#include "common/cuda.cuh"
#include "ops/match_anchors/candidate_lists.cuh"
#include "ops/match_anchors/match_anchors.h"

namespace colad {
namespace {

// Anchors of a tile, one per thread. 4 warps share the objects that they load. Not tuned on a card.
constexpr int kBlock = 128;
// Objects in shared memory at a time. Most images have fewer. They take 3 KB, in double 6 KB.
constexpr int kTile = 128;

// Writes the result of the first pass for one anchor.
template <typename T>
__device__ void write_first_pass(const MatchParams& p, int64_t image, int64_t anchor,
                                 const BestObject<compute_t<T>>& best) {
  const int64_t i = image * p.anchor_count + anchor;
  if (p.iou != nullptr) {
    static_cast<T*>(p.iou)[i] = static_cast<T>(clamp_at_zero(best.iou));
  }
  p.matched[i] = resolve_match(best, -1, static_cast<compute_t<T>>(p.options.iou_threshold), LowQuality::none);
}

// What the second pass finds for one anchor: its own best object, and the last object that claims it (-1 for none).
template <typename C>
struct SecondPass {
  BestObject<C> own{C(-1), -1};
  int64_t claimed = -1;

  __device__ void meet_object(C iou, int64_t row, C best_of_object, bool claim_zero_overlap) {
    meet(own, iou, row);
    if (ties_best(iou, best_of_object, claim_zero_overlap)) {
      claimed = row;
    }
  }
};

// Writes the match: claims first (not for LowQuality::none), then ignore boxes.
template <typename T>
__device__ void write_second_pass(const MatchParams& p, int64_t image, int64_t anchor,
                                  const MatchBox<compute_t<T>>& box, const SecondPass<compute_t<T>>& pass) {
  using C = compute_t<T>;
  int64_t& matched = p.matched[image * p.anchor_count + anchor];
  if (p.options.low_quality != LowQuality::none) {
    matched = resolve_match(pass.own, pass.claimed, static_cast<C>(p.options.iou_threshold), p.options.low_quality);
  }
  if (matched == kBackground && p.ignore_boxes != nullptr) {
    const Rows rows = rows_of_image(p.ignore_offsets, image, p.ignore_count);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const Box<C> ignore = match_box<T>(p, p.ignore_boxes, row);
      if (is_ignored(ignore, box.box, box.area, static_cast<C>(p.options.ignore_iof))) {
        matched = kIgnored;
        return;
      }
    }
  }
}

// The bits of a value >= 0 as an integer. Integers of this kind have the order of the values.
__device__ int ordered_bits(float value) { return __float_as_int(value); }
__device__ long long ordered_bits(double value) { return __double_as_longlong(value); }
__device__ float value_of(int bits) { return __int_as_float(bits); }
__device__ double value_of(long long bits) { return __longlong_as_double(bits); }

template <typename C>
struct Tile {
  using Bits = decltype(ordered_bits(C(0)));
  MatchBox<C> gt[kTile];
  Bits best[kTile];  // best IoU: in the first pass with this block's anchors, in the second with all anchors
};

__device__ int64_t tiles_of(const MatchParams& p) { return (p.anchor_count + kBlock - 1) / kBlock; }

// The anchor of this thread in work item `item`. Items go image by image, tile by tile. `exists` is false for threads
// past the last anchor of the image.
template <typename C>
struct TileAnchor {
  int64_t image, anchor;
  bool exists, takes_part;
  MatchBox<C> box;
};

template <typename T>
__device__ TileAnchor<compute_t<T>> tile_anchor(const MatchParams& p, int64_t item) {
  TileAnchor<compute_t<T>> a{item / tiles_of(p), item % tiles_of(p) * kBlock + threadIdx.x, false, false, {}};
  a.exists = a.anchor < p.anchor_count;
  a.takes_part = a.exists && anchor_is_valid(p, a.image, a.anchor);
  if (a.takes_part) {
    a.box = measured_box<T>(p, p.anchors, a.anchor);
  }
  return a;
}

// Calls visit(first row, number of rows) for every tile of the image's objects. `best(row)` is the value that
// Tile::best starts with. All threads of the block call this function.
template <typename T, typename Best, typename Visit>
__device__ void for_each_tile(const MatchParams& p, int64_t image, Tile<compute_t<T>>& tile, Best best, Visit visit) {
  const Rows rows = rows_of_image(p.gt_offsets, image, p.objects);
  for (int64_t first = rows.begin; first < rows.end; first += kTile) {
    const int count = static_cast<int>(rows.end - first < kTile ? rows.end - first : kTile);
    __syncthreads();  // no thread reads the previous tile any more
    for (int i = threadIdx.x; i < count; i += kBlock) {
      tile.gt[i] = measured_box<T>(p, p.gt_boxes, first + i);
      if (image_of_row(p.gt_offsets, p.images, first + i) != image) {
        tile.gt[i].area = std::numeric_limits<compute_t<T>>::quiet_NaN();  // wrong offsets: the row is another image's
      }
      tile.best[i] = best(first + i);
    }
    __syncthreads();
    visit(first, count);
  }
}

template <typename T>
__global__ void first_pass_kernel(const __grid_constant__ MatchParams p, const __grid_constant__ MatchSink sink,
                                  void* best_of_objects) {
  using C = compute_t<T>;
  using Bits = typename Tile<C>::Bits;
  __shared__ Tile<C> tile;
  Bits* object_best = static_cast<Bits*>(best_of_objects);  // (G,)
  wait_for_previous_kernel();
  if (sink.cost != nullptr) {
    zero_counters(sink.buckets);
  }
  for (int64_t item = blockIdx.x; item < p.images * tiles_of(p); item += gridDim.x) {
    const TileAnchor<C> own = tile_anchor<T>(p, item);
    BestObject<C> best{C(-1), -1};
    for_each_tile<T>(
        p, own.image, tile, [](int64_t) { return Bits(0); },
        [&](int64_t first, int count) {
          for (int i = 0; own.takes_part && i < count; ++i) {
            const C iou = match_iou(tile.gt[i], own.box);
            meet(best, iou, first + i);
            if (iou > C(0)) {
              atomicMax(&tile.best[i], ordered_bits(iou));
            }
          }
          __syncthreads();
          for (int i = threadIdx.x; i < count; i += kBlock) {
            if (tile.best[i] > Bits(0)) {
              atomicMax(&object_best[first + i], tile.best[i]);
            }
          }
        });
    if (own.exists) {
      write_first_pass<T>(p, own.image, own.anchor, best);
    }
  }
}

// Hands the match of anchor `i` of (images, anchors) to an assignment. All lanes of a warp call it.
__device__ void hand_over(const MatchSink& sink, int64_t i, bool exists, int64_t row) {
  list_anchor(sink.buckets, i, row);
  for (int network = 0; exists && row < 0 && network < sink.buckets.networks; ++network) {
    sink.cost[network * sink.buckets.places() + i] = std::numeric_limits<float>::infinity();
  }
}

template <typename T>
__global__ void second_pass_kernel(const __grid_constant__ MatchParams p, const __grid_constant__ MatchSink sink,
                                   const void* best_of_objects) {
  using C = compute_t<T>;
  using Bits = typename Tile<C>::Bits;
  __shared__ Tile<C> tile;
  const Bits* object_best = static_cast<const Bits*>(best_of_objects);
  wait_for_previous_kernel();
  for (int64_t item = blockIdx.x; item < p.images * tiles_of(p); item += gridDim.x) {
    const TileAnchor<C> own = tile_anchor<T>(p, item);
    SecondPass<C> pass;
    if (p.options.low_quality != LowQuality::none) {
      for_each_tile<T>(
          p, own.image, tile, [&](int64_t row) { return object_best[row]; },
          [&](int64_t first, int count) {
            for (int i = 0; own.takes_part && i < count; ++i) {
              const C iou = match_iou(tile.gt[i], own.box);
              pass.meet_object(iou, first + i, value_of(tile.best[i]), p.options.claim_zero_overlap);
            }
          });
    }
    if (own.takes_part) {
      write_second_pass<T>(p, own.image, own.anchor, own.box, pass);
    }
    if (sink.cost != nullptr) {
      const int64_t i = own.image * p.anchor_count + own.anchor;
      hand_over(sink, i, own.exists, own.exists ? p.matched[i] : kBackground);
    }
  }
  if (sink.cost != nullptr) {
    __shared__ int32_t scratch[kBlock / kWarp];
    begin_buckets<kBlock>(sink.buckets, scratch);
  }
}

}  // namespace

void MatchAnchorsCuda::match(const MatchCall& call, const MatchSink& sink, const CudaScope& scope) {
  const MatchParams& p = call.params;
  const int64_t work = p.images * p.anchor_count;
  Tensor object_best = new_tensor(call.anchors, {p.objects}, compute_type(call.dtype));
  torch::stable::zero_(object_best);
  dispatch_floating(call.dtype, [&]<typename T>() {
    launch(first_pass_kernel<T>, grid_for(work, kBlock), kBlock, 0, scope.stream(), p, sink, object_best.data_ptr());
    if (p.options.low_quality != LowQuality::none || p.ignore_boxes != nullptr || sink.cost != nullptr) {
      launch_dependent(second_pass_kernel<T>, grid_for(work, kBlock), kBlock, 0, scope.stream(), p, sink,
                       object_best.data_ptr());
    }
  });
}

void MatchAnchorsCuda::run(const MatchCall& call) {
  if (call.params.images * call.params.anchor_count > 0) {
    match(call, {}, CudaScope(call.anchors));
  }
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("match_anchors", COLAD_BOX(&colad::match_anchors_op<colad::MatchAnchorsCuda>));
}
