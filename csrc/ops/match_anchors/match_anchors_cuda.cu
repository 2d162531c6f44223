// match_anchors on CUDA, in two passes. The first finds the largest IoU of every object with any anchor; it is left out
// if no object claims anchors. The second finds the match of every anchor.
//
// A thread has one anchor. The warps of a block do not depend on each other: each meets the objects that reach the box
// around its anchors (match_warp.cuh). All images have the same anchors, so a warp reads its anchors once for
// several objects of any images (first pass), or for several images (second pass).
//
// An object's largest IoU is an integer atomic maximum of the bits of values >= 0, which have the order of the values.
// The result does not depend on the order of the updates.
#include "common/boxed.h"
#include "ops/match_anchors/candidate_lists.cuh"
#include "ops/match_anchors/match_tiles.cuh"
#include "ops/match_anchors/match_warp.cuh"

namespace colad {
namespace {

// Objects of a part of the first pass, and images of a part of the second. To read the anchors and to find their hull
// takes as many instructions as 4 objects that reach it, or two images. But the warps of coarse levels meet all objects
// of a part one after the other, and the others wait for them at the end of the kernel. Not tuned on a card.
constexpr int kObjects = 16, kImages = 2;
constexpr int kWarps = kTile / kWarp;

// Finds the largest IoU of each object of a part with the anchors of a tile.
template <typename T>
__device__ void find_best_of_objects(const MatchParams& p, unsigned tile, unsigned part,
                                     Bits<compute_t<T>>* object_best, WarpObjects<compute_t<T>>& objects) {
  using C = compute_t<T>;
  const int own_lane = threadIdx.x % kWarp, row = static_cast<int>(part) * kObjects + own_lane;
  const TileAnchor<C> own = anchor_of_tile<T>(p, tile);
  const Box<C> hull = hull_of_warp(own.box.box);
  MatchBox<C> gt{box_of_nothing<C>(), C(0)};
  int64_t image = 0;
  if (own_lane < kObjects && row < static_cast<int>(p.objects)) {
    gt = measured_box<T>(p, p.gt_boxes, row);
    image = p.valid_stride_image == 0 ? 0 : image_of_row(p.gt_offsets, p.images, row);
  }
  const unsigned met = __ballot_sync(kFullMask, reaches(gt.box, hull));
  objects.write({gt, C(-1)});
  Bits<C> best = 0;  // of this lane's object
  objects.for_each(met, [&]<int count>(const int (&lanes)[count], const MetObject<C>(&met_objects)[count]) {
    C ious[count];
    match_ious(met_objects, own.box, ious);
    for (int i = 0; i < count && p.valid_stride_image != 0; ++i) {
      const bool takes_part = own.takes_part_in(p, __shfl_sync(kFullMask, image, lanes[i]));
      ious[i] = takes_part ? ious[i] : C(0);
    }
    Bits<C> tops[count];
    for (int i = 0; i < count; ++i) {
      tops[i] = warp_max(ious[i] > C(0) ? bits_of(ious[i]) : Bits<C>(0));  // an area of NaN gives an IoU of NaN
    }
    for (int i = 0; i < count; ++i) {
      best = lanes[i] == own_lane ? tops[i] : best;
    }
  });
  if (best > 0) {
    atomicMax(&object_best[row], best);
  }
}

template <typename T>
__global__ void first_pass_kernel(const __grid_constant__ MatchParams p, const Items items, void* object_best) {
  using C = compute_t<T>;
  __shared__ WarpObjects<C> objects[kWarps];
  wait_for_previous_kernel();
  for_each_item(items, [&](unsigned tile, unsigned part) {
    find_best_of_objects<T>(p, tile, part, static_cast<Bits<C>*>(object_best), objects[threadIdx.x / kWarp]);
  });
}

// The options in the type of the computation.
template <typename C>
struct SecondPassOptions {
  C iou_threshold, ignore_iof;
  LowQuality low_quality;
  bool claim_zero_overlap, zero_matters;

  explicit SecondPassOptions(const MatchOptions& o)
      : iou_threshold(static_cast<C>(o.iou_threshold)),
        ignore_iof(static_cast<C>(o.ignore_iof)),
        low_quality(o.low_quality),
        claim_zero_overlap(o.claim_zero_overlap),
        zero_matters(colad::zero_matters(o)) {}
};

// What the second pass finds for one anchor in one image: its own best object, and the last object that claims it.
// Their rows are -1 for none.
template <typename C>
struct Found {
  BestObject<C, int> own{C(-1), -1};
  int claimed = -1;
};

// Whether an object of the same image, before `row`, is finite. The first one nearly always is.
template <typename T>
__device__ bool finite_before(const MatchParams& p, int row) {
  const int64_t image = image_of_row(p.gt_offsets, p.images, row);
  for (int64_t i = rows_of_image(p.gt_offsets, image, p.objects).begin; i < row; ++i) {
    if (is_finite(match_box<T>(p, p.gt_boxes, i))) {
      return true;
    }
  }
  return false;
}

// A warp of the second pass. It reads the objects in chunks of 32, from `first_row` on. A chunk may hold objects of
// several images, and they are met image by image.
template <typename T>
struct SecondPassWarp {
  using C = compute_t<T>;
  const MatchParams& p;
  const MatchSink& sink;
  const SecondPassOptions<C>& options;
  const Bits<C>* object_best;
  WarpObjects<C>& objects;
  TileAnchor<C> own;
  Box<C> hull;
  int chunk_end;       // the row after those of the chunk
  unsigned left, met;  // lanes of the chunk: those that no image has taken yet, and those that the warp has to meet

  __device__ void read_chunk() {
    const int row = chunk_end + threadIdx.x % kWarp;
    MetObject<C> object{{box_of_nothing<C>(), C(0)}, C(-1)};
    bool meets = false;
    if (row < static_cast<int>(p.objects)) {
      object.box = measured_box<T>(p, p.gt_boxes, row);
      if (options.low_quality != LowQuality::none) {
        const C best = value_of(object_best[row]);
        object.tie = ties_best(best, best, options.claim_zero_overlap) ? best : C(-1);
      }
      // An object that claims the anchors of IoU 0 meets them all.
      const Box<C>& box = object.box.box;
      meets = reaches(box, hull) || object.tie == C(0) || (options.zero_matters && !finite_before<T>(p, row));
      meets &= object.box.area == object.box.area;  // an object whose area is NaN matches nothing
    }
    objects.write(object);
    chunk_end += kWarp;
    left = kFullMask;
    met = __ballot_sync(kFullMask, meets);
  }

  // Meets the objects of an image: the next that no image has taken yet, up to the row `end`.
  __device__ Found<C> meet_objects(int end) {
    Found<C> found;
    while (true) {
      const int first = chunk_end - kWarp;
      const unsigned of_image = left & __ballot_sync(kFullMask, first + static_cast<int>(threadIdx.x % kWarp) < end);
      left ^= of_image;
      objects.for_each(met & of_image,
                       [&]<int count>(const int (&lanes)[count], const MetObject<C>(&met_objects)[count]) {
                         C ious[count];
                         match_ious(met_objects, own.box, ious);
                         for (int i = 0; i < count; ++i) {
                           meet(found.own, ious[i], first + lanes[i]);
                           found.claimed = ious[i] == met_objects[i].tie ? first + lanes[i] : found.claimed;
                         }
                       });
      if (end <= chunk_end) {
        return found;
      }
      read_chunk();
    }
  }

  __device__ bool lies_in_ignore_box(int64_t image) const {
    const Rows rows = rows_of_image(p.ignore_offsets, image, p.ignore_count);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      if (is_ignored(match_box<T>(p, p.ignore_boxes, row), own.box.box, own.box.area, options.ignore_iof)) {
        return true;
      }
    }
    return false;
  }
};

// The match of an anchor in an image is final here, and it is written nowhere else. All threads of a block call this
// function, for one image after the other.
template <typename T>
__device__ void finish_anchor(const MatchParams& p, const MatchSink& sink, int64_t image,
                              const TileAnchor<compute_t<T>>& own, int matched, compute_t<T> iou) {
  const int64_t i = image * p.anchor_count + own.anchor;
  if (own.exists()) {
    p.matched[i] = matched;
    if (p.iou != nullptr) {
      static_cast<T*>(p.iou)[i] = static_cast<T>(clamp_at_zero(iou));
    }
  }
  if (sink.cost != nullptr) {
    if (matched >= 0 && image_of_row(p.gt_offsets, p.images, matched) != image) {
      matched = kBackground;  // wrong offsets: a row has one image, or its bucket would mix anchors of several
      p.matched[i] = matched;
    }
    list_anchor(sink.buckets, i, own.exists() ? matched : static_cast<int>(kBackground));
    for (int network = 0; own.exists() && matched < 0 && network < sink.buckets.networks; ++network) {
      sink.cost[network * sink.buckets.places() + i] = std::numeric_limits<float>::infinity();
    }
  }
}

// Finds the matches of the anchors of a tile in the images of a part.
template <typename T>
__device__ void match_tile(SecondPassWarp<T>& warp, unsigned tile, unsigned part) {
  using C = compute_t<T>;
  const MatchParams& p = warp.p;
  const SecondPassOptions<C>& options = warp.options;
  warp.own = anchor_of_tile<T>(p, tile);
  warp.hull = hull_of_warp(warp.own.box.box);
  int64_t image = int64_t(part) * kImages;
  const int64_t* offset = p.gt_offsets + image;
  warp.chunk_end = static_cast<int>(rows_of_image(p.gt_offsets, image, p.objects).begin);
  warp.left = warp.met = 0;
  for (int images = minimum(static_cast<int>(p.images - image), kImages); images > 0; --images) {
    const int end = minimum(static_cast<int>(*++offset), static_cast<int>(p.objects));
    const Found<C> found = warp.meet_objects(end);
    const bool takes_part = warp.own.takes_part_in(p, image);
    int matched = resolve_match(found.own, found.claimed, options.iou_threshold, options.low_quality);
    matched = takes_part ? matched : static_cast<int>(kBackground);
    if (p.ignore_boxes != nullptr && takes_part && matched < 0 && warp.lies_in_ignore_box(image)) {
      matched = kIgnored;
    }
    finish_anchor<T>(p, warp.sink, image, warp.own, matched, takes_part ? found.own.iou : C(0));
    ++image;
  }
}

template <typename T>
__global__ void second_pass_kernel(const __grid_constant__ MatchParams p, const __grid_constant__ MatchSink sink,
                                   const Items items, const SecondPassOptions<compute_t<T>> options,
                                   const void* object_best) {
  using C = compute_t<T>;
  __shared__ WarpObjects<C> objects[kWarps];
  __shared__ int32_t scratch[kWarps];
  SecondPassWarp<T> warp{
      p, sink, options, static_cast<const Bits<C>*>(object_best), objects[threadIdx.x / kWarp], {}, {}, 0, 0, 0};
  wait_for_previous_kernel();
  for_each_item(items, [&](unsigned tile, unsigned part) { match_tile(warp, tile, part); });
  if (sink.cost != nullptr) {
    begin_buckets<kTile>(sink.buckets, scratch);
  }
}

}  // namespace

void MatchAnchorsCuda::match(const MatchCall& call, const MatchSink& sink, const CudaScope& scope) {
  const MatchParams& p = call.params;
  const Items first(p.anchor_count, p.objects, kObjects), second(p.anchor_count, p.images, kImages);
  void* const object_best = sink.buckets.object_best;
  dispatch_floating(call.dtype, [&]<typename T>() {
    if (p.options.low_quality != LowQuality::none && p.objects > 0 && p.anchor_count > 0) {
      launch_dependent(first_pass_kernel<T>, first.grid, kTile, 0, scope.stream(), p, first, object_best);
    }
    launch_dependent(second_pass_kernel<T>, second.grid, kTile, 0, scope.stream(), p, sink, second,
                     SecondPassOptions<compute_t<T>>(p.options), object_best);
  });
}

void MatchAnchorsCuda::run(const MatchCall& call) {
  const MatchParams& p = call.params;
  if (p.images * p.anchor_count == 0) {
    return;
  }
  const CudaScope scope(call.anchors);
  MatchSink sink{};
  Tensor object_best = new_tensor(call.anchors, {p.objects}, ScalarType::Long);
  if (p.options.low_quality != LowQuality::none && p.objects > 0) {
    torch::stable::zero_(object_best);
  }
  sink.buckets.object_best = static_cast<int64_t*>(object_best.data_ptr());
  match(call, sink, scope);
}

}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("match_anchors", COLAD_BOX(&colad::match_anchors_op<colad::MatchAnchorsCuda>));
}
