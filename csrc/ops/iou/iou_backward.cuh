// The backward of box_iou on CUDA. The derivative of each pair is computed once, for both boxes. All sums have a fixed
// order, so every run gives the same bits.
//
// The matrix is cut into blocks of rows x columns. Columns are the boxes of the longer side, one a thread; rows those
// of the shorter side, one after the other. A thread adds up the derivatives of its column in registers. The
// derivatives of a row are added up over the warps. If the matrix has several blocks, every block writes its sums to
// scratch memory, and a second kernel adds them up.
#pragma once

#include <algorithm>

#include "common/reduce.cuh"
#include "ops/iou/iou.h"

namespace colad {

// Columns of a block, one a thread, and the most rows of a block. Not tuned on a card.
constexpr int kColumns = 128, kRows = 32;
// Blocks have fewer rows if that makes no more than this many blocks, some 16 on each multiprocessor; but not so few
// rows that a small matrix needs the second kernel.
constexpr int64_t kEnoughBlocks = 2048, kFewestRows = 8;
constexpr int kColumnWarps = kColumns / kWarp;

// Sums over the blocks. `parts` sums of each box are in `partial`, in the type of the computation: of the batch's first
// block for all boxes, then of the next. With one part there is no `partial`, and the sum is written to `out`.
struct BoxSums {
  void *partial, *out;
  int64_t boxes, parts;  // of a batch
};

struct PairwiseBackwardParams {
  const void *rows, *columns, *grad;
  BoxSums row_sums, column_sums;
  int64_t batches, row_stride, column_stride;  // strides of `grad`, in elements
  int rows_of_block;
  IouMode mode;
};

// Rows are boxes1 if that is the shorter side, else boxes2.
inline bool rows_are_first(const IouParams& p) { return p.n <= p.m; }

inline PairwiseBackwardParams pairwise_backward_params(const IouParams& p) {
  const bool first = rows_are_first(p);
  const int64_t rows = first ? p.n : p.m, columns = first ? p.m : p.n;
  const int64_t tiles = (columns + kColumns - 1) / kColumns;
  const int64_t wanted = (p.batches * tiles * rows + kEnoughBlocks - 1) / kEnoughBlocks;
  const int64_t rows_of_block = std::clamp<int64_t>(wanted, kFewestRows, kRows);
  const int64_t parts = std::max<int64_t>((rows + rows_of_block - 1) / rows_of_block, 1);
  return {.rows = first ? p.boxes1 : p.boxes2,
          .columns = first ? p.boxes2 : p.boxes1,
          .grad = p.grad,
          .row_sums = {nullptr, first ? p.out1 : p.out2, rows, tiles},
          .column_sums = {nullptr, first ? p.out2 : p.out1, columns, parts},
          .batches = p.batches,
          .row_stride = first ? p.m : 1,
          .column_stride = first ? 1 : p.m,
          .rows_of_block = static_cast<int>(rows_of_block),
          .mode = p.mode};
}

// Numbers in `partial`. At most 4 for every kEnoughBlocks x kColumns, or for 32 pairs and 128 pairs, where that is
// more.
inline int64_t scratch_of(const BoxSums& sums, int64_t batches) {
  return sums.parts > 1 ? batches * sums.parts * sums.boxes * 4 : 0;
}

// Adds up a box over the warp. Lane l gets the sum of coordinate l % 4. Lanes first share the coordinates out.
template <typename C>
__device__ C warp_sum_of_coordinate(const Box<C>& box) {
  const bool upper = threadIdx.x & 2, odd = threadIdx.x & 1;
  C x = upper ? box.x2 : box.x1, y = upper ? box.y2 : box.y1;
  x += __shfl_xor_sync(kFullMask, upper ? box.x1 : box.x2, 2);
  y += __shfl_xor_sync(kFullMask, upper ? box.y1 : box.y2, 2);
  C sum = odd ? y : x;
  sum += __shfl_xor_sync(kFullMask, odd ? x : y, 1);
  for (int offset = 4; offset < kWarp; offset *= 2) {
    sum += __shfl_xor_sync(kFullMask, sum, offset);
  }
  return sum;
}

template <typename C>
struct PairBlock {
  C grad[kRows][kColumns + 1];  // one more, so that a warp also writes a column without bank conflicts
  Box<C> row[kRows];
  bool row_is_finite[kRows];
  C row_sum[kColumnWarps][kRows][4];
};

// Reads the rows of a block and its part of the gradient.
template <typename T>
__device__ void read_block(const PairwiseBackwardParams& p, int64_t batch, int64_t first_row, int rows,
                           int64_t first_column, PairBlock<compute_t<T>>& block) {
  using C = compute_t<T>;
  const int64_t columns = p.column_sums.boxes, left = columns - first_column;
  if (threadIdx.x < rows) {
    const Box<C> row = load_box(static_cast<const T*>(p.rows), batch * p.row_sums.boxes + first_row + threadIdx.x);
    block.row[threadIdx.x] = row;
    block.row_is_finite[threadIdx.x] = is_finite(row);
  }
  const T* grad = static_cast<const T*>(p.grad) + batch * p.row_sums.boxes * columns + first_row * p.row_stride +
                  first_column * p.column_stride;
  if (p.column_stride == 1) {  // neighbours in memory are read by neighbouring threads
    for (int row = 0; row < rows && threadIdx.x < left; ++row) {
      block.grad[row][threadIdx.x] = static_cast<C>(grad[row * p.row_stride + threadIdx.x]);
    }
  } else {
    const int row = threadIdx.x % kWarp;
    for (int column = threadIdx.x / kWarp; column < kColumns && column < left && row < rows; column += kColumnWarps) {
      block.grad[row][column] = static_cast<C>(grad[column * p.column_stride + row]);
    }
  }
}

// Writes the derivatives of one block, or what it adds to them.
template <typename T, bool rows_first>
__device__ void differentiate_block(const PairwiseBackwardParams& p, int64_t batch, int64_t tile, int64_t part,
                                    PairBlock<compute_t<T>>& block) {
  using C = compute_t<T>;
  const int64_t first_row = part * p.rows_of_block, left = p.row_sums.boxes - first_row;
  const int rows = static_cast<int>(left < p.rows_of_block ? left : p.rows_of_block);
  const int64_t column = tile * kColumns + threadIdx.x, columns = p.column_sums.boxes;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  read_block<T>(p, batch, first_row, rows, tile * kColumns, block);
  __syncthreads();
  Box<C> box{}, d_column{};
  if (column < columns) {
    box = load_box(static_cast<const T*>(p.columns), batch * columns + column);
  }
  const bool column_is_finite = is_finite(box);
  for (int i = 0; i < rows; ++i) {
    const Box<C> row = block.row[i];
    const C grad = column < columns ? block.grad[i][threadIdx.x] : C(0);
    bool adds = grad != C(0) && may_have_derivative(row, box, p.mode);
    adds |= column < columns && !(column_is_finite && block.row_is_finite[i] && is_finite(grad));
    C sum = C(0);
    if (__any_sync(kFullMask, adds)) {
      Box<C> d_row{};
      if (adds && rows_first) {
        box_iou_backward(row, box, p.mode, grad, d_row, d_column);
      } else if (adds) {
        box_iou_backward(box, row, p.mode, grad, d_column, d_row);
      }
      sum = warp_sum_of_coordinate(d_row);
    }
    if (lane < 4) {
      block.row_sum[warp][i][lane] = sum;
    }
  }
  if (column < columns) {
    if (p.column_sums.parts == 1) {
      store_box(static_cast<T*>(p.column_sums.out), batch * columns + column, d_column);
    } else {
      C* partial = static_cast<C*>(p.column_sums.partial);
      store_box(partial, (batch * p.column_sums.parts + part) * columns + column, d_column);
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 4 * rows; i += kColumns) {
    C sum = C(0);
    for (int w = 0; w < kColumnWarps; ++w) {
      sum += block.row_sum[w][i / 4][i % 4];
    }
    const int64_t of_batch = 4 * p.row_sums.boxes, at = 4 * first_row + i;
    if (p.row_sums.parts == 1) {
      static_cast<T*>(p.row_sums.out)[batch * of_batch + at] = static_cast<T>(sum);
    } else {
      static_cast<C*>(p.row_sums.partial)[(batch * p.row_sums.parts + tile) * of_batch + at] = sum;
    }
  }
  // No barrier here. The next block first overwrites what no thread reads after the barrier above, and row_sum only
  // after its own barrier.
}

template <typename T, bool rows_first>
__global__ void pairwise_iou_backward_kernel(const __grid_constant__ PairwiseBackwardParams p) {
  __shared__ PairBlock<compute_t<T>> block;
  const int64_t tiles = p.row_sums.parts, parts = p.column_sums.parts;
  for (int64_t i = blockIdx.x; i < p.batches * tiles * parts; i += gridDim.x) {
    const int64_t of_parts = quotient(i, tiles), batch = quotient(of_parts, parts);
    differentiate_block<T, rows_first>(p, batch, i - of_parts * tiles, of_parts - batch * parts, block);
  }
}

// Lanes that share a box: each adds up every eighth part.
constexpr int kSumLanes = 8, kSumBlock = 128;

template <typename T>
__global__ void box_sums_kernel(const __grid_constant__ PairwiseBackwardParams p) {
  using C = compute_t<T>;
  const int64_t rows = p.row_sums.parts > 1 ? p.batches * p.row_sums.boxes : 0;
  const int64_t columns = p.column_sums.parts > 1 ? p.batches * p.column_sums.boxes : 0;
  const int lane = threadIdx.x % kSumLanes;
  // All lanes of a warp take as many turns.
  for (int64_t first = thread_index() / kWarp * (kWarp / kSumLanes); first < rows + columns;
       first += thread_count() / kSumLanes) {
    const int64_t i = first + threadIdx.x % kWarp / kSumLanes;
    const BoxSums& sums = i < rows ? p.row_sums : p.column_sums;
    const int64_t box = i < rows ? i : i - rows, batch = quotient(box, sums.boxes);
    Box<C> sum{};
    for (int64_t part = lane; i < rows + columns && part < sums.parts; part += kSumLanes) {
      const int64_t at = (batch * (sums.parts - 1) + part) * sums.boxes + box;
      const Box<C> b = load_box(static_cast<const C*>(sums.partial), at);
      sum = {sum.x1 + b.x1, sum.y1 + b.y1, sum.x2 + b.x2, sum.y2 + b.y2};
    }
    for (int offset = kSumLanes / 2; offset > 0; offset /= 2) {
      sum.x1 += __shfl_xor_sync(kFullMask, sum.x1, offset);
      sum.y1 += __shfl_xor_sync(kFullMask, sum.y1, offset);
      sum.x2 += __shfl_xor_sync(kFullMask, sum.x2, offset);
      sum.y2 += __shfl_xor_sync(kFullMask, sum.y2, offset);
    }
    if (lane == 0 && i < rows + columns) {
      store_box(static_cast<T*>(sums.out), box, sum);
    }
  }
}

}  // namespace colad
