// nms_keep on CUDA, in two kernels. The first one compares the boxes of all groups, in tiles of 64 x 64: for each box a
// word of bits says which boxes of a tile it suppresses. The second one has a block for each group. It goes through the
// group in order of score and drops what the kept boxes suppress, 64 boxes at a time.
//
// The bits need memory for all pairs of boxes, whatever their groups are, because the host does not know the groups. So
// the boxes are worked on in bands of rows, one after the other: the bits of a band take at most 64 MiB, or those of
// one row of tiles (8 bytes a box) where that is more. The flags of the kept boxes carry over from band to band.
#include "common/boxed.h"
#include "common/cuda.cuh"
#include "common/reduce.cuh"
#include "ops/nms/nms.h"

namespace colad {
namespace {

constexpr int kTile = 64;                         // bits of a word
constexpr int kParts = 16;                        // blocks that share the tiles of 64 rows; not tuned on a card
constexpr int kWalkBlock = 128;                   // a thread for each tile after the current one; not tuned on a card
constexpr int64_t kMaskWords = int64_t(1) << 23;  // 64 MiB

// The rows begin..end-1 of the boxes, and which boxes they suppress: (end - begin, tiles) words.
struct NmsBand {
  NmsParams p;
  uint64_t* mask;
  int64_t begin, end, tiles;

  COLAD_HD uint64_t& word(int64_t row, int64_t tile) const { return mask[(row - begin) * tiles + tile]; }

  // Whether two boxes of these tiles can be in one group. The groups follow each other, so the last box of the one and
  // the first box of the other tell it.
  COLAD_HD bool compares(int64_t row_tile, int64_t tile) const {
    return tile == row_tile || p.same_group(row_tile * kTile + kTile - 1, tile * kTile);
  }
};

template <typename T>
__global__ void suppression_mask_kernel(NmsBand band) {
  using C = compute_t<T>;
  __shared__ MeasuredBox<C> columns[kTile];
  const NmsParams& p = band.p;
  const T* boxes = static_cast<const T*>(p.boxes);
  if (band.begin == 0) {
    for (int64_t i = thread_index(); i < p.count; i += thread_count()) {
      p.keep[i] = true;
    }
  }
  const int64_t first_tile = band.begin / kTile, row_tiles = (band.end - band.begin + kTile - 1) / kTile;
  for (int64_t item = blockIdx.x; item < row_tiles * kParts; item += gridDim.x) {
    const int64_t row_tile = first_tile + item / kParts, row = row_tile * kTile + threadIdx.x;
    MeasuredBox<C> mine{};
    if (row < band.end) {
      mine = measure(load_box(boxes, row), IouMode::iou);
    }
    for (int64_t tile = row_tile + item % kParts; tile < band.tiles; tile += kParts) {
      if (!band.compares(row_tile, tile)) {
        continue;  // the same for all threads of the block
      }
      const int64_t first = tile * kTile, last = first + kTile < p.count ? first + kTile : p.count;
      __syncthreads();  // the columns of the tile before have been read
      if (first + threadIdx.x < last) {
        columns[threadIdx.x] = measure(load_box(boxes, first + threadIdx.x), IouMode::iou);
      }
      __syncthreads();
      if (row < band.end) {
        const bool one_group = p.same_group(row_tile * kTile, last - 1);
        uint64_t bits = 0;
        for (int64_t column = row < first ? first : row + 1; column < last; ++column) {
          if ((one_group || p.same_group(row, column)) && suppresses(mine, columns[column - first], p.iou_threshold)) {
            bits |= uint64_t(1) << (column - first);
          }
        }
        band.word(row, tile) = bits;
      }
    }
  }
}

__global__ void keep_boxes_kernel(NmsBand band) {
  __shared__ uint64_t suppressed_by[kTile];
  __shared__ uint32_t open[kTile / kWarp];
  __shared__ uint64_t kept;
  const NmsParams& p = band.p;
  for (int64_t start = band.begin + blockIdx.x; start < band.end; start += gridDim.x) {
    if (start > band.begin && !p.starts_group(start)) {
      continue;  // the same for all threads of the block; a group that began in the band before goes on at band.begin
    }
    for (int64_t tile = start / kTile; tile * kTile < band.end; ++tile) {
      const int64_t first = tile * kTile;
      if (first > start && !p.same_group(start, first)) {
        break;
      }
      if (threadIdx.x < kTile) {  // two whole warps
        const int64_t row = first + threadIdx.x;
        const bool in_group = row >= start && row < band.end && p.same_group(start, row);
        suppressed_by[threadIdx.x] = in_group ? band.word(row, tile) : 0;
        const unsigned flags = __ballot_sync(kFullMask, in_group && p.keep[row]);
        if (threadIdx.x % kWarp == 0) {
          open[threadIdx.x / kWarp] = flags;
        }
      }
      __syncthreads();
      if (threadIdx.x == 0) {
        uint64_t left = uint64_t(open[1]) << kWarp | open[0], found = 0;
        while (left != 0) {
          const int best = __ffsll(static_cast<long long>(left)) - 1;
          found |= uint64_t(1) << best;
          left &= ~(suppressed_by[best] | uint64_t(1) << best);
        }
        kept = found;
      }
      __syncthreads();
      const uint64_t suppressing = kept;
      if (threadIdx.x < kTile && (open[threadIdx.x / kWarp] >> (threadIdx.x % kWarp) & 1) != 0) {
        p.keep[first + threadIdx.x] = (suppressing >> threadIdx.x & 1) != 0;
      }
      for (int64_t later = tile + 1 + threadIdx.x; later < band.tiles; later += blockDim.x) {
        if (!p.same_group(start, later * kTile) || !band.compares(tile, later)) {
          break;
        }
        uint64_t dropped = 0;
        for (uint64_t left = suppressing; left != 0; left &= left - 1) {
          dropped |= band.word(first + __ffsll(static_cast<long long>(left)) - 1, later);
        }
        for (; dropped != 0; dropped &= dropped - 1) {
          p.keep[later * kTile + __ffsll(static_cast<long long>(dropped)) - 1] = false;
        }
      }
      __syncthreads();  // the flags of the next tile are final, and the shared memory has been read
    }
  }
}

struct NmsCuda {
  static void run(const NmsCall& call) {
    const NmsParams& p = call.params;
    if (p.count == 0) {
      return;
    }
    const CudaScope scope(call.boxes);
    NmsBand band{p, nullptr, 0, 0, (p.count + kTile - 1) / kTile};
    // A band also has no more rows of tiles than one launch has blocks for.
    const int64_t row_tiles =
        std::max<int64_t>(std::min<int64_t>(kMaskWords / kTile / band.tiles, kMaxGrid / kParts), 1);
    const int64_t rows = std::min(row_tiles * kTile, p.count);
    const auto memory = new_scratch(call.boxes, Room<uint64_t>{band.mask, rows * band.tiles});
    for (; band.begin < p.count; band.begin = band.end) {
      band.end = std::min(band.begin + rows, p.count);
      const int64_t items = (band.end - band.begin + kTile - 1) / kTile * kParts;
      dispatch_floating(call.dtype, [&]<typename T>() {
        launch(suppression_mask_kernel<T>, grid_for(items, 1), kTile, 0, scope.stream(), band);
      });
      launch(keep_boxes_kernel, grid_for(band.end - band.begin, 1), kWalkBlock, 0, scope.stream(), band);
    }
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) { m.impl("nms_keep", COLAD_BOX(&colad::nms_keep_op<colad::NmsCuda>)); }
