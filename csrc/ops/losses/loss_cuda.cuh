// The element-wise losses on CUDA: one pass for a sum and its gradient, one pass for a result of every element. A sum
// has a fixed order: a pack in the compute type, the packs of a thread, the threads of a block and the blocks in
// float64. Every kernel has two versions. The dense version is for tensors without gaps: a thread takes a pack of 16
// bytes at a time. The other version takes single elements and any strides. The two versions add in different orders,
// so the last bits of a sum may depend on the strides, on the alignment of the first element, and on the card.
#pragma once

#include "common/last_block.cuh"
#include "common/reduce.cuh"
#include "common/ticket.cuh"
#include "ops/losses/loss_dense.cuh"
#include "ops/losses/loss_elements.cuh"

namespace colad {

constexpr int kLossBlock = 256;  // not tuned on a card

// The most threads of a multiprocessor.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200)
constexpr int kMostThreads = 1536;
#else
constexpr int kMostThreads = 2048;
#endif

// The blocks of a dense kernel that a multiprocessor should hold: half of its most threads, so that many loads of 16
// bytes are in flight. A thread then has 64 registers (80 where the most threads are fewer), and no kernel spills.
// Double needs more registers. Not tuned on a card.
template <typename T>
constexpr int kDenseBlocks = sizeof(T) == sizeof(double) ? 2 : kMostThreads / 2 / kLossBlock;

// The sums of the blocks, and the counter that finds the last block.
struct PartialSums {
  double* of_block;
  Ticket ticket;
};

// Adds the threads' sums. Every thread of every block calls it.
template <typename C>
__device__ void finish_sum(const LossParams& p, const PartialSums& sums, double of_thread) {
  __shared__ double scratch[kWarp];
  const double of_block = block_reduce(of_thread, Add{}, 0.0, scratch);
  if (threadIdx.x == 0) {
    sums.of_block[blockIdx.x] = of_block;
  }
  if (!is_last_block(sums.ticket.counter())) {
    return;
  }
  double total = 0.0;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x) {
    total += sums.of_block[i];
  }
  total = block_reduce(total, Add{}, 0.0, scratch);
  if (threadIdx.x == 0) {
    *static_cast<C*>(p.total) = static_cast<C>(total) / p.divisor.template value<C>();
    *sums.ticket.counter() = 0;
  }
}

// The sum, and the gradient if p.result is not null.
template <typename T, typename LossAt>
__global__ void loss_sum_kernel(const __grid_constant__ LossParams p, const __grid_constant__ LossAt at,
                                const __grid_constant__ PartialSums sums) {
  using C = compute_t<T>;
  const C scale = C(1) / p.divisor.template value<C>();
  double total = 0.0;
  for (int64_t i = thread_index(); i < p.count(); i += thread_count()) {
    total += add_element<T>(p, at, i, scale);
  }
  finish_sum<C>(p, sums, total);
}

template <typename T, typename LossAt>
__global__ void __launch_bounds__(kLossBlock, kDenseBlocks<T>)
    dense_sum_kernel(const __grid_constant__ LossParams p, const __grid_constant__ LossAt at,
                     const __grid_constant__ DenseWalk walk, const __grid_constant__ PartialSums sums) {
  using C = compute_t<T>;
  const C scale = C(1) / p.divisor.template value<C>();
  const bool simple = scale != C(0);
  double total = 0.0;
  for (int64_t item = thread_index(); item < walk.items; item += thread_count()) {
    for_packs<T>(p, at, walk, item, [&](const LossPack<T, LossAt>& pack) {
      const PackResult<T> result = pack_result<T>(at, pack, [&](int) { return scale; }, simple);
      total += result.sum();
      if (p.result != nullptr) {
        store_pack(p.result, pack.first, result.gradients);
      }
    });
  }
  if (thread_index() < walk.tail) {
    total += add_element<T>(p, at, p.count() - walk.tail + thread_index(), scale);
  }
  finish_sum<C>(p, sums, total);
}

template <typename T, typename LossAt>
__global__ void loss_kernel(const __grid_constant__ LossParams p, const __grid_constant__ LossAt at) {
  for (int64_t i = thread_index(); i < p.count(); i += thread_count()) {
    write_loss<T>(p, at, i);
  }
}

template <typename T, typename LossAt>
__global__ void loss_gradient_kernel(const __grid_constant__ LossParams p, const __grid_constant__ LossAt at,
                                     bool scalar_grad) {
  for (int64_t i = thread_index(); i < p.count(); i += thread_count()) {
    write_gradient<T>(p, at, i, scalar_grad);
  }
}

template <typename T, typename LossAt>
__global__ void __launch_bounds__(kLossBlock, kDenseBlocks<T>)
    dense_loss_kernel(const __grid_constant__ LossParams p, const __grid_constant__ LossAt at,
                      const __grid_constant__ DenseWalk walk) {
  using C = compute_t<T>;
  constexpr int n = kPack<T>;
  for (int64_t item = thread_index(); item < walk.items; item += thread_count()) {
    for_packs<T>(p, at, walk, item, [&](const LossPack<T, LossAt>& pack) {
      const PackResult<T> result = pack_result<T>(at, pack, [](int) { return C(1); }, true);
      Pack<T, n> losses;
#pragma unroll
      for (int j = 0; j < n; ++j) {
        losses.values[j] = static_cast<T>(result.losses.values[j]);
      }
      store_pack(p.result, pack.first, losses);
    });
  }
  if (thread_index() < walk.tail) {
    write_loss<T>(p, at, p.count() - walk.tail + thread_index());
  }
}

template <typename T, typename LossAt>
__global__ void __launch_bounds__(kLossBlock, kDenseBlocks<T>)
    dense_gradient_kernel(const __grid_constant__ LossParams p, const __grid_constant__ LossAt at,
                          const __grid_constant__ DenseWalk walk, bool scalar_grad) {
  using C = compute_t<T>;
  const C of_sum = scalar_grad ? grad_of_sum<C>(p) : C(0);
  const bool simple = scalar_grad && of_sum != C(0);
  for (int64_t item = thread_index(); item < walk.items; item += thread_count()) {
    for_packs<T>(p, at, walk, item, [&](const LossPack<T, LossAt>& pack) {
      Pack<T, kPack<T>> grads;
      if (!scalar_grad) {
        grads = load_pack<T, kPack<T>>(p.grad.data, pack.first);
      }
      const auto grad = [&](int j) { return scalar_grad ? of_sum : value_of(grads, j); };
      store_pack(p.result, pack.first, pack_result<T>(at, pack, grad, simple).gradients);
    });
  }
  if (thread_index() < walk.tail) {
    write_gradient<T>(p, at, p.count() - walk.tail + thread_index(), scalar_grad);
  }
}

struct CudaLoss {
  template <typename T, typename LossAt>
  static void forward(const LossCall& call, const LossAt& at, bool sum) {
    const LossParams& p = call.params;
    if (sum) {
      return sum_and_gradient<T>(call, at);
    }
    if (p.count() == 0) {
      return;
    }
    const CudaScope scope(call.out);
    const DenseWalk walk = dense_walk<T>(p, at, &p.out, nullptr);
    if (walk.possible) {
      launch(dense_loss_kernel<T, LossAt>, grid_for(walk.items, kLossBlock), kLossBlock, 0, scope.stream(), p, at,
             walk);
    } else {
      launch(loss_kernel<T, LossAt>, grid_for(p.count(), kLossBlock), kLossBlock, 0, scope.stream(), p, at);
    }
  }

  template <typename T, typename LossAt>
  static void backward(const LossCall& call, const LossAt& at, bool scalar_grad) {
    const LossParams& p = call.params;
    if (p.count() == 0) {
      return;
    }
    const CudaScope scope(call.out);
    const DenseWalk walk = dense_walk<T>(p, at, &p.out, scalar_grad ? nullptr : &p.grad);
    if (walk.possible) {
      launch(dense_gradient_kernel<T, LossAt>, grid_for(walk.items, kLossBlock), kLossBlock, 0, scope.stream(), p, at,
             walk, scalar_grad);
    } else {
      launch(loss_gradient_kernel<T, LossAt>, grid_for(p.count(), kLossBlock), kLossBlock, 0, scope.stream(), p, at,
             scalar_grad);
    }
  }

  // One launch. All blocks run at once (see kDenseBlocks), so that there are few partial sums.
  template <typename T, typename LossAt>
  static void sum_and_gradient(const LossCall& call, const LossAt& at) {
    const LossParams& p = call.params;
    const CudaScope scope(call.out);
    const DenseWalk walk = dense_walk<T>(p, at, p.result == nullptr ? nullptr : &p.out, nullptr);
    const int64_t blocks = ((walk.possible ? walk.items : p.count()) + kLossBlock - 1) / kLossBlock;
    const int64_t at_once = std::max<int64_t>(blocks_of_card(kLossBlock) / 2, 1);
    const unsigned grid = static_cast<unsigned>(std::clamp<int64_t>(blocks, 1, at_once));
    const Tensor partials = new_tensor(call.out, {grid}, ScalarType::Double);
    const TicketHolder holder = take_ticket(call.out, scope.stream());
    const PartialSums sums{static_cast<double*>(partials.data_ptr()), holder.ticket};
    if (walk.possible) {
      launch(dense_sum_kernel<T, LossAt>, grid, kLossBlock, 0, scope.stream(), p, at, walk, sums);
    } else {
      launch(loss_sum_kernel<T, LossAt>, grid, kLossBlock, 0, scope.stream(), p, at, sums);
    }
  }
};

}  // namespace colad
