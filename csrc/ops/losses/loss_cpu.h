// The element-wise losses on the CPU: chunk by chunk in the order of memory, in one pass for losses and gradients.
#pragma once

#include "ops/losses/loss_block.h"

namespace colad {

// Blocks is the part that differs between losses:
//   targets(p, at, first, block, buffers)   sets block.targets, and gives ignored elements the weight 0
//   compute(at, block, grad, losses, gradients)        computes a block
template <typename Blocks>
struct CpuLoss {
  static constexpr int64_t kChunksAThread = 16;  // about 100 us of work

  template <typename T, typename LossAt>
  static void forward(const LossCall& call, const LossAt& at, bool sum) {
    sum ? walk<T, LossAt, true, false>(call, at, true) : walk<T, LossAt, false, false>(call, at, true);
  }

  template <typename T, typename LossAt>
  static void backward(const LossCall& call, const LossAt& at, bool scalar_grad) {
    walk<T, LossAt, false, true>(call, at, scalar_grad);
  }

  template <typename T, typename LossAt>
  static void sum_and_gradient(const LossCall& call, const LossAt& at) {
    walk<T, LossAt, true, true>(call, at, true);
  }

 private:
  template <typename T, typename LossAt, bool kSum, bool kGradient>
  static void walk(const LossCall& call, const LossAt& at, bool scalar_grad) {
    using C = compute_t<T>;
    const LossParams& p = call.params;
    const int64_t count = p.count(), chunks = (count + kChunk - 1) / kChunk;
    const C divisor = p.divisor.template value<C>();
    const C grad = kSum ? C(1) / divisor : (kGradient && scalar_grad ? grad_of_sum<C>(p) : C(1));
    std::vector<double> partials(kSum ? chunks : 0);
    torch::stable::parallel_for(0, chunks, kChunksAThread, [&](int64_t begin, int64_t end) {
      LossBuffers<C> buffers;
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        double lanes[kSumLanes] = {};
        const int64_t last = std::min(count, (chunk + 1) * kChunk);
        for (int64_t first = chunk * kChunk; first < last; first += kBlockElements) {
          LossBlock<C> block{};
          block.count = static_cast<int>(std::min<int64_t>(kBlockElements, last - first));
          block.logits = read_block<T>(p, p.input, first, block.count, buffers.logits);
          if (p.weight.data != nullptr) {
            block.weights = read_block<C>(p, p.weight, first, block.count, buffers.weights);
          }
          Blocks::template targets<T>(p, at, first, block, buffers);
          C* const gradients = kGradient ? block_of_result<T>(p, first, buffers.gradients) : nullptr;
          C* const losses = kGradient || kSum ? buffers.losses : block_of_result<T>(p, first, buffers.losses);
          Blocks::compute(at, block, grad, losses, gradients);
          if constexpr (kSum) {
            add_to_lanes(losses, block.count, lanes);
          }
          if constexpr (kGradient) {
            if (!scalar_grad) {
              const C* grads = read_block<T>(p, p.grad, first, block.count, buffers.grads);
              multiply(grads, block.count, gradients);
            }
            write_block<T>(p, first, block.count, gradients);
          } else if (!kSum) {
            write_block<T>(p, first, block.count, losses);
          }
        }
        if constexpr (kSum) {
          partials[chunk] = sum_of_lanes(lanes);
        }
      }
    });
    if constexpr (kSum) {
      double total = 0.0;
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        total += partials[chunk];
      }
      *static_cast<C*>(p.total) = static_cast<C>(total) / divisor;
    }
  }
};

}  // namespace colad
