// The fast version of the element-wise losses on CUDA. It needs every tensor with one value an element to have the same
// order in memory, without gaps. A thread then takes 16 bytes of each tensor at a time. It divides only where it needs
// the index of its row.
#pragma once

#include "common/cuda.cuh"
#include "ops/losses/loss_layout.h"
#include "ops/losses/loss_pack.cuh"
#include "ops/match_anchors/match_codes.h"

namespace colad {

// In class maps the elements of a row are in different columns. A thread reads the label and weight of its rows once
// for this many columns. A label has 8 bytes, so this leaves 1 byte of labels an element, from the cache. The usual
// numbers of classes are multiples of 8. Not tuned on a card.
constexpr int kColumnsOfItem = 8;

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

template <typename T, typename LossAt>
DenseWalk dense_walk(const LossParams& p, const LossAt& at, const Strided* out, const Strided* grad) {
  constexpr int n = kPack<T>;
  const bool weight_of_elements = p.weight.data != nullptr && !p.weight_of_rows;
  DenseWalk walk{};
  walk.possible = is_dense(p, p.input) && is_dense_target(p, at) && (!weight_of_elements || is_dense(p, p.weight)) &&
                  (out == nullptr || is_dense(p, *out)) && (grad == nullptr || is_dense(p, *grad)) &&
                  p.columns <= INT32_MAX;
  const bool of_rows = LossAt::kTargetOfRow || p.weight_of_rows;
  walk.packs = 1;
  if (of_rows && p.columns_outermost && p.anchors % n == 0 && p.columns % kColumnsOfItem == 0) {
    walk.packs = kColumnsOfItem;
    walk.row = p.anchors / n;
    walk.spacing = p.anchors;
  }
  walk.items = p.count() / (n * walk.packs);
  walk.tail = p.count() - walk.items * n * walk.packs;
  return walk;
}

// The operands of n elements, in registers.
template <typename T, typename LossAt>
struct LossPack {
  using C = compute_t<T>;
  static constexpr int n = kPack<T>;
  static constexpr int kNoLabel = INT32_MIN;
  int64_t first;
  int columns = 0;  // columns from the pack for which the rows were read to this pack
  Pack<T, n> logits, targets;
  int to_label[n];        // columns from that pack to the row's label; kNoLabel if the row is ignored
  bool weighted = false;  // if not, all weights are 1 and `weight` has no meaning
  Pack<C, n> weight;      // 0 for an ignored row

  __device__ C logit(int j) const { return value_of(logits, j); }
  __device__ auto target(int j) const {
    if constexpr (LossAt::kTargetOfRow) {
      return to_label[j] == columns;
    } else {
      return value_of(targets, j);
    }
  }

  // Reads the labels and the weights of the rows.
  __device__ void read_rows(const LossParams& p, const LossAt& at) {
    Element e = p.element(first);
    int64_t label = 0;
    C of_row = 1;
#pragma unroll
    for (int j = 0; j < n; ++j) {
      if (j == 0 || p.columns_outermost || e.column == 0) {
        of_row = p.weight_of_rows ? weight_at<T>(p, e) : C(1);
        if constexpr (LossAt::kTargetOfRow) {
          label = at.label(e);
          of_row = label == kIgnored ? C(0) : of_row;
        }
      }
      to_label[j] = label == kIgnored ? kNoLabel : static_cast<int>(label - e.column);
      weight.values[j] = of_row;
      p.advance(e);
    }
  }

  __device__ void read_weights(const LossParams& p) {
    weight = load_pack<C, n>(p.weight.data, first);
    if constexpr (LossAt::kTargetOfRow) {
#pragma unroll
      for (int j = 0; j < n; ++j) {
        weight.values[j] = to_label[j] == kNoLabel ? C(0) : weight.values[j];
      }
    }
  }
};

// Calls use(pack) for every pack of an item.
template <typename T, typename LossAt, typename Use>
__device__ void for_packs(const LossParams& p, const LossAt& at, const DenseWalk& walk, int64_t item, Use use) {
  constexpr int n = kPack<T>;
  LossPack<T, LossAt> pack;
  pack.first = walk.start(item, n);
  if (LossAt::kTargetOfRow || p.weight_of_rows) {
    pack.read_rows(p, at);
  }
  pack.weighted = LossAt::kTargetOfRow || p.weight.data != nullptr;
  for (; pack.columns < walk.packs; ++pack.columns) {
    pack.logits = load_pack<T, n>(p.input.data, pack.first);
    if constexpr (!LossAt::kTargetOfRow) {
      pack.targets = load_pack<T, n>(at.teacher.data, pack.first);
    }
    if (p.weight.data != nullptr && !p.weight_of_rows) {
      pack.read_weights(p);
    }
    use(pack);
    pack.first += walk.spacing;
  }
}

}  // namespace colad
