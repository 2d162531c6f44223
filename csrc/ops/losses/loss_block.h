// The element-wise losses on the CPU, in short blocks of elements. For any dtype and strides, a block is a set of plain
// arrays of the compute type in the first-level cache. Every formula is then a loop over arrays. A tensor that already
// has this form is read and written in place.
#pragma once

#include <algorithm>
#include <type_traits>

#include "common/cpu_capability.h"
#include "common/strided_arrays.h"
#include "common/usual_gamma.h"
#include "ops/losses/loss_layout.h"

namespace colad {

// Elements that are added to one partial sum. The number is fixed, so the sum does not depend on the number of threads.
constexpr int64_t kChunk = 4096;
constexpr int kBlockElements = 512;  // measured: 256 cost 4 % more, 1024 do not fit the first-level cache
static_assert(kChunk % kBlockElements == 0);

// A chunk has this many partial sums, so its addition is vectorised. Element i is added to sum i % kSumLanes, for every
// vector width.
constexpr int kSumLanes = 16;
static_assert(kBlockElements % kSumLanes == 0);

// Calls visit(element, offset, length) for every run of a block, in which only one index of an element advances. The
// run has elements offset to offset + length of the block. It starts at `element`; in memory, each of its elements is
// step(...) after the one before.
template <typename Visit>
void for_runs(const LossParams& p, int64_t first, int count, Visit visit) {
  Element e = p.element(first);
  for (int done = 0; done < count;) {
    int64_t& inner = p.columns_outermost ? e.anchor : e.column;
    const int64_t left = (p.columns_outermost ? p.anchors : p.columns) - inner;
    const int length = static_cast<int>(std::min<int64_t>(count - done, left));
    visit(e, done, length);
    done += length;
    inner += length - 1;
    p.advance(e);
  }
}

// The stride of the index that advances in a run.
inline int64_t step(const LossParams& p, const Strided& s) { return p.columns_outermost ? s.anchor : s.column; }

// Elements `first` to `first + count`: in place if possible, otherwise copied to `buffer`.
template <typename T, typename C>
const C* read_block(const LossParams& p, const Strided& s, int64_t first, int count, C* buffer) {
  const T* data = static_cast<const T*>(s.data);
  const bool in_order = lies_in_order(p, s);
  if constexpr (std::is_same_v<T, C>) {
    if (in_order) {
      return data + first;
    }
  }
  vectorised([=](auto cpu) {
    if (in_order) {
      gather<cpu()>(data + first, 1, count, buffer);
    } else {
      for_runs(p, first, count, [&](const Element& e, int offset, int length) {
        gather<cpu()>(data + s.at(e), step(p, s), length, buffer + offset);
      });
    }
  });
  return buffer;
}

// Where the results of a block are computed: in place if possible, otherwise in `buffer`, which write_block copies.
template <typename T, typename C>
C* block_of_result(const LossParams& p, int64_t first, C* buffer) {
  if constexpr (std::is_same_v<T, C>) {
    if (lies_in_order(p, p.out)) {
      return static_cast<T*>(p.result) + first;
    }
  }
  return buffer;
}

template <typename T, typename C>
void write_block(const LossParams& p, int64_t first, int count, const C* block) {
  T* data = static_cast<T*>(p.result);
  const bool in_order = lies_in_order(p, p.out);
  if (std::is_same_v<T, C> && in_order) {
    return;
  }
  vectorised([=](auto cpu) {
    if (in_order) {
      scatter<cpu()>(block, count, data + first, 1);
    } else {
      for_runs(p, first, count, [&](const Element& e, int offset, int length) {
        scatter<cpu()>(block + offset, length, data + p.out.at(e), step(p, p.out));
      });
    }
  });
}

// Memory for the operands and results of a block that cannot be used in place.
template <typename C>
struct LossBuffers {
  alignas(64) C logits[kBlockElements], targets[kBlockElements], weights[kBlockElements], grads[kBlockElements],
      losses[kBlockElements], gradients[kBlockElements];
};

// The operands of a block.
template <typename C>
struct LossBlock {
  const C* logits;
  const C* targets;
  const C* weights;  // null: all weights are 1
  int count;
};

// Computes the losses of a block, and its gradients if kGradient. Formula::side computes everything of a logit and its
// target that needs an exponential; Formula::loss and Formula::derivative take such a side. The options of the formula
// must be constants, otherwise the compiler does not vectorise the loops.
//
// There are two short loops instead of one long loop. A CPU looks a few hundred instructions ahead: in short loops it
// works on several vectors at once, in one long loop it would wait for the last result of each vector. The first loop
// stores the fields of the sides that are expensive to compute, the second loop loads them. for_each_field(side, visit)
// calls visit(number, reference) for each of these fields.
template <bool kWeighted, bool kGradient, typename C, typename Formula, typename ForEachField>
void compute_block(const Formula& formula, ForEachField for_each_field, const LossBlock<C>& block, C grad, C* losses,
                   C* gradients) {
  using Side = typename Formula::Side;
  alignas(64) C fields[sizeof(Side) / sizeof(C)][kBlockElements];
  const C *logits = block.logits, *targets = block.targets, *weights = block.weights;
  const int count = block.count;
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    Side side = formula.side(logits[i], targets[i]);
    for_each_field(side, [&](int field, C& value) { fields[field][i] = value; });
  }
#pragma GCC ivdep
  for (int i = 0; i < count; ++i) {
    Side side = formula.side(logits[i], targets[i]);  // the compiler drops the fields that are replaced below
    for_each_field(side, [&](int field, C& value) { value = fields[field][i]; });
    const C weight = kWeighted ? weights[i] : C(1), loss = weight * formula.loss(side);
    losses[i] = kWeighted && weight == C(0) ? C(0) : loss;
    if constexpr (kGradient) {
      const C gradient = grad * (weight * formula.derivative(side));
      gradients[i] = kWeighted && weight == C(0) ? C(0) : gradient;
    }
  }
}

// formula_of() returns the formula; its options are compile-time constants. `gradients` may be null.
template <typename C, typename FormulaOf, typename ForEachField>
void compute_block_vectorised(FormulaOf formula_of, ForEachField for_each_field, const LossBlock<C>& block, C grad,
                              C* losses, C* gradients) {
  const auto run = [=](auto weighted, auto gradient) {
    vectorised_fused([=] {
      compute_block<decltype(weighted)::value, decltype(gradient)::value>(formula_of(), for_each_field, block, grad,
                                                                          losses, gradients);
    });
  };
  using std::false_type, std::true_type;
  if (block.weights == nullptr) {
    gradients == nullptr ? run(false_type{}, false_type{}) : run(false_type{}, true_type{});
  } else {
    gradients == nullptr ? run(true_type{}, false_type{}) : run(true_type{}, true_type{});
  }
  if (gradients != nullptr && grad == C(0)) {
    std::fill_n(gradients, block.count, C(0));  // also if a logit is NaN or infinite
  }
}

// Multiplies the gradients of the losses by `grads`, the gradient of the result by each loss.
template <typename C>
void multiply(const C* grads, int count, C* gradients) {
  vectorised([=] {
#pragma GCC ivdep
    for (int i = 0; i < count; ++i) {
      const C gradient = gradients[i];
      gradients[i] = weighted_gradient(C(1), grads[i], [=] { return gradient; });
    }
  });
}

// Adds `count` values to the kSumLanes partial sums.
template <typename C>
void add_to_lanes(const C* values, int count, double* sums) {
  vectorised([=] {
    double lanes[kSumLanes];
    for (int k = 0; k < kSumLanes; ++k) {
      lanes[k] = sums[k];
    }
    const int whole = count / kSumLanes * kSumLanes;
    for (int i = 0; i < whole; i += kSumLanes) {
      for (int k = 0; k < kSumLanes; ++k) {
        lanes[k] += static_cast<double>(values[i + k]);
      }
    }
    for (int i = whole; i < count; ++i) {
      lanes[i - whole] += static_cast<double>(values[i]);
    }
    for (int k = 0; k < kSumLanes; ++k) {
      sums[k] = lanes[k];
    }
  });
}

inline double sum_of_lanes(const double* lanes) {
  double sums[kSumLanes];
  std::copy_n(lanes, kSumLanes, sums);
  for (int half = kSumLanes / 2; half > 0; half /= 2) {
    for (int k = 0; k < half; ++k) {
      sums[k] += sums[k + half];
    }
  }
  return sums[0];
}

}  // namespace colad
