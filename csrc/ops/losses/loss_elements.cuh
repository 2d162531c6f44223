// What a kernel computes of one element, and of a pack of elements.
//
// The template parameter LossAt is one loss: its options, and where its logits and targets are in memory. The target
// comes from a label, one a row (kTargetOfRow), or from a teacher, one value an element. LossAt has
//   logit(element), target_at(element), counts(element)   the operands, and whether the row is not ignored
//   with_terms(use)           calls use(terms_of), where terms_of(logit, target) is all that does not depend on gamma
//   with_gamma(use)           calls use(gamma), where gamma() is a constant for the usual exponents
//   pair(terms, gamma)        the LossPair
// A choice that is the same for all elements is thus made once a pack.
#pragma once

#include "ops/losses/loss_dense.cuh"
#include "ops/losses/loss_pair.h"

namespace colad {

// A weight of 0 removes an element, also if its loss or its derivative is NaN or infinite. So does a `grad` of 0, the
// gradient of the result by this loss, from the gradient.
template <typename C>
__device__ LossPair<C> weighted(const LossPair<C>& pair, C weight, C grad) {
  return {weight == C(0) ? C(0) : weight * pair.loss, weight * grad == C(0) ? C(0) : grad * (weight * pair.derivative)};
}

template <typename T, typename LossAt>
__device__ LossPair<compute_t<T>> pair_at(const LossParams& p, const LossAt& at, const Element& e, compute_t<T> grad) {
  using C = compute_t<T>;
  LossPair<C> pair;
  at.with_terms([&](auto terms_of) {
    const auto terms = terms_of(at.logit(e), at.target_at(e));
    at.with_gamma([&](auto gamma) { pair = at.pair(terms, gamma()); });
  });
  return weighted(pair, at.counts(e) ? weight_at<T>(p, e) : C(0), grad);
}

// Returns the loss of element i, and writes its gradient if there is a place for it.
template <typename T, typename LossAt>
__device__ compute_t<T> add_element(const LossParams& p, const LossAt& at, int64_t i, compute_t<T> grad) {
  const Element e = p.element(i);
  const LossPair<compute_t<T>> pair = pair_at<T>(p, at, e, grad);
  if (p.result != nullptr) {
    static_cast<T*>(p.result)[p.out.at(e)] = static_cast<T>(pair.derivative);
  }
  return pair.loss;
}

template <typename T, typename LossAt>
__device__ void write_loss(const LossParams& p, const LossAt& at, int64_t i) {
  const Element e = p.element(i);
  static_cast<T*>(p.result)[p.out.at(e)] = static_cast<T>(pair_at<T>(p, at, e, compute_t<T>(1)).loss);
}

// A gradient of the sum has the compute type. A gradient of every element has the logits' type.
template <typename T, typename LossAt>
__device__ void write_gradient(const LossParams& p, const LossAt& at, int64_t i, bool scalar_grad) {
  using C = compute_t<T>;
  const Element e = p.element(i);
  const C grad = scalar_grad ? grad_of_sum<C>(p) : static_cast<C>(static_cast<const T*>(p.grad.data)[p.grad.at(e)]);
  static_cast<T*>(p.result)[p.out.at(e)] = static_cast<T>(pair_at<T>(p, at, e, grad).derivative);
}

// The losses of a pack, and its gradients in the logits' type.
template <typename T>
struct PackResult {
  static constexpr int n = kPack<T>;
  Pack<compute_t<T>, n> losses;
  Pack<T, n> gradients;

  // In the order of a tree.
  __device__ compute_t<T> sum() const {
    Pack<compute_t<T>, n> left = losses;
#pragma unroll
    for (int half = n / 2; half > 0; half /= 2) {
#pragma unroll
      for (int j = 0; j < half; ++j) {
        left.values[j] += left.values[j + half];
      }
    }
    return left.values[0];
  }
};

// Elements whose formulas are in registers at the same time. More of them would spill.
constexpr int kGroup = 4;

// grad(j) is the gradient of the result by loss j. `simple`: all are one number, which is not 0.
template <typename T, typename LossAt, typename Grad>
__device__ PackResult<T> pack_result(const LossAt& at, const LossPack<T, LossAt>& pack, Grad grad, bool simple) {
  using C = compute_t<T>;
  constexpr int n = std::min(kPack<T>, kGroup);
  PackResult<T> result;
#pragma unroll
  for (int first = 0; first < kPack<T>; first += n) {
    typename LossAt::Terms terms[n];
    at.with_terms([&](auto terms_of) {
#pragma unroll
      for (int j = 0; j < n; ++j) {
        terms[j] = terms_of(pack.logit(first + j), pack.target(first + j));
      }
    });
    LossPair<C> pairs[n];
    at.with_gamma([&](auto gamma) {
#pragma unroll
      for (int j = 0; j < n; ++j) {
        pairs[j] = at.pair(terms[j], gamma());
      }
    });
    if (simple && !pack.weighted) {
#pragma unroll
      for (int j = 0; j < n; ++j) {
        pairs[j].derivative *= grad(first + j);
      }
    } else {
#pragma unroll
      for (int j = 0; j < n; ++j) {
        const C weight = pack.weighted ? pack.weight.values[first + j] : C(1);
        pairs[j] = weighted(pairs[j], weight, grad(first + j));
      }
    }
#pragma unroll
    for (int j = 0; j < n; ++j) {
      result.losses.values[first + j] = pairs[j].loss;
      result.gradients.values[first + j] = static_cast<T>(pairs[j].derivative);
    }
  }
  return result;
}

}  // namespace colad
