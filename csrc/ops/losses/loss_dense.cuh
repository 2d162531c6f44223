// The fast version of the element-wise losses on CUDA. It needs every tensor with one value an element to have the same
// order in memory, without gaps. A thread then takes 16 bytes of each tensor at a time. It divides only where it needs
// the index of its row.
#pragma once

#include "common/cuda.cuh"
#include "ops/losses/loss_layout.h"
#include "ops/match_anchors/match_codes.h"

namespace colad {

constexpr int kPackBytes = 16;  // the widest load and store of one thread

template <typename T>
constexpr int kPack = kPackBytes / sizeof(T);

// In class maps the elements of a row are in different columns. A thread reads the label and weight of its rows once
// for this many columns. A label has 8 bytes, so this leaves 1 byte of labels an element, from the cache. The usual
// numbers of classes are multiples of 8. Not tuned on a card.
constexpr int kColumnsOfItem = 8;

// n values that are loaded and stored as a whole: 16 bytes or a multiple.
template <typename T, int n>
struct alignas(kPackBytes) Pack {
  T values[n];
};

template <typename T, int n>
__device__ Pack<T, n> load_pack(const void* data, int64_t first) {
  return *reinterpret_cast<const Pack<T, n>*>(static_cast<const T*>(data) + first);
}

template <typename T, int n>
__device__ void store_pack(void* data, int64_t first, const Pack<T, n>& pack) {
  *reinterpret_cast<Pack<T, n>*>(static_cast<T*>(data) + first) = pack;
}

// Whether element(i) is i values after the first element in memory, and the first element is aligned to 16 bytes.
inline bool is_dense(const LossParams& p, const Strided& s) {
  return lies_in_order(p, s) && reinterpret_cast<uintptr_t>(s.data) % kPackBytes == 0;
}

template <typename LossAt>
bool is_dense_target(const LossParams& p, const LossAt& at) {
  if constexpr (LossAt::kTargetOfRow) {
    return true;  // the target is read row by row
  } else {
    return is_dense(p, at.teacher);
  }
}

// How threads go over the elements. A thread takes one item at a time: one pack, or in class maps the same rows of
// kColumnsOfItem columns, one pack a column.
struct DenseWalk {
  bool possible;
  int64_t items;         // number of whole items
  int64_t chunk;         // items whose losses are added up together
  int64_t tail;          // elements after the last item
  int packs;             // packs of an item
  int64_t row, spacing;  // class maps: items that start in one column; elements from a pack of an item to its next pack

  __device__ int64_t start(int64_t item, int pack) const {
    if (packs == 1) {
      return item * pack;
    }
    const int64_t rows_before = quotient(item, row);
    return rows_before * packs * spacing + (item - rows_before * row) * pack;
  }
};

// `block` threads process a chunk.
template <typename T, typename LossAt>
DenseWalk dense_walk(const LossParams& p, const LossAt& at, const Strided* out, const Strided* grad, int block) {
  constexpr int n = kPack<T>;
  const bool weight_of_elements = p.weight.data != nullptr && !p.weight_of_rows;
  DenseWalk walk{};
  walk.possible = is_dense(p, p.input) && is_dense_target(p, at) && (!weight_of_elements || is_dense(p, p.weight)) &&
                  (out == nullptr || is_dense(p, *out)) && (grad == nullptr || is_dense(p, *grad)) &&
                  p.columns <= INT32_MAX;
  const bool of_rows = LossAt::kTargetOfRow || p.weight_of_rows;
  if (of_rows && p.columns_outermost && p.anchors % n == 0 && p.columns % kColumnsOfItem == 0) {
    walk.packs = kColumnsOfItem;
    walk.row = p.anchors / n;
    walk.spacing = p.anchors;
    walk.chunk = block;
  } else {
    walk.packs = 1;
    walk.chunk = kChunk / n;
  }
  walk.items = p.count() / (n * walk.packs);
  walk.tail = p.count() - walk.items * n * walk.packs;
  return walk;
}

// The values that n neighbours in memory get from their rows: label and weight.
template <typename C, int n>
struct PackRows {
  static constexpr int kNoLabel = INT32_MIN;
  int to_label[n];  // columns from the element to the row's label, or kNoLabel if the row is ignored
  Pack<C, n> weight;
};

template <typename T, typename LossAt>
__device__ PackRows<compute_t<T>, kPack<T>> rows_from(const LossParams& p, const LossAt& at, int64_t first) {
  using C = compute_t<T>;
  using Rows = PackRows<C, kPack<T>>;
  Rows rows{};
  if (!LossAt::kTargetOfRow && !p.weight_of_rows) {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      rows.weight.values[j] = 1;
    }
    return rows;
  }
  Element e = p.element(first);
  int label = 0;
  C weight = 1;
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) {
    if (j == 0 || p.columns_outermost || e.column == 0) {
      if constexpr (LossAt::kTargetOfRow) {
        label = static_cast<int>(at.label(e));
      }
      if (p.weight_of_rows) {
        weight = weight_at<T>(p, e);
      }
    }
    rows.to_label[j] = label == kIgnored ? Rows::kNoLabel : label - static_cast<int>(e.column);
    rows.weight.values[j] = weight;
    p.advance(e);
  }
  return rows;
}

// The operands of n elements, in registers.
template <typename T, typename LossAt>
struct LossPack {
  using C = compute_t<T>;
  static constexpr int n = kPack<T>;
  int64_t first;
  int columns = 0;  // columns from the pack for which `rows` was read to this pack
  Pack<T, n> logits, targets;
  PackRows<C, n> rows;

  __device__ C weight(int j) const { return rows.weight.values[j]; }
  __device__ C logit(int j) const { return static_cast<C>(logits.values[j]); }
  __device__ auto target(int j) const {
    if constexpr (LossAt::kTargetOfRow) {
      return typename LossAt::Target{rows.to_label[j] != rows.kNoLabel, rows.to_label[j] == columns};
    } else {
      return static_cast<C>(targets.values[j]);
    }
  }

  __device__ C loss(const LossAt& at, int j) const {
    return weight(j) == C(0) ? weight(j) : weight(j) * at.loss(logit(j), target(j));
  }
  __device__ C gradient(const LossAt& at, int j, C grad) const {
    return weighted_gradient(weight(j), grad, [&] { return at.derivative(logit(j), target(j)); });
  }
};

// Calls use(pack) for every pack of an item.
template <typename T, typename LossAt, typename Use>
__device__ void for_packs(const LossParams& p, const LossAt& at, const DenseWalk& walk, int64_t item, Use use) {
  using C = compute_t<T>;
  constexpr int n = kPack<T>;
  LossPack<T, LossAt> pack;
  pack.first = walk.start(item, n);
  pack.rows = rows_from<T>(p, at, pack.first);
  for (; pack.columns < walk.packs; ++pack.columns) {
    pack.logits = load_pack<T, n>(p.input.data, pack.first);
    if constexpr (!LossAt::kTargetOfRow) {
      pack.targets = load_pack<T, n>(at.teacher.data, pack.first);
    }
    if (p.weight.data != nullptr && !p.weight_of_rows) {
      pack.rows.weight = load_pack<C, n>(p.weight.data, pack.first);
    }
    use(pack);
    pack.first += walk.spacing;
  }
}

}  // namespace colad
