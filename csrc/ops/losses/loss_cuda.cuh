// The element-wise losses on CUDA: one pass forward, one pass backward. A sum adds fixed chunks in a fixed order,
// without atomics. Every kernel has two versions. The dense version is for tensors without gaps: a thread takes a pack
// of 16 bytes at a time. The other version takes single elements and any strides. The two versions add in different
// orders, so the last bits of a sum may depend on the strides and on the alignment of the first element.
#pragma once

#include "common/reduce.cuh"
#include "ops/losses/loss_dense.cuh"

namespace colad {

constexpr int kLossBlock = 256;  // 16 elements a thread and chunk; not tuned on a card

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

// One block a chunk.
template <typename T, typename LossAt>
__global__ void loss_partials_kernel(const __grid_constant__ LossParams p, const __grid_constant__ LossAt at,
                                     int64_t chunks) {
  __shared__ double scratch[kWarp];
  for (int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    double total = 0.0;
    for (int64_t i = chunk * kChunk + threadIdx.x; i < p.count() && i < (chunk + 1) * kChunk; i += blockDim.x) {
      total += weighted_loss<T>(p, at, p.element(i));
    }
    total = block_reduce(total, Add{}, 0.0, scratch);
    if (threadIdx.x == 0) {
      p.partials[chunk] = total;
    }
  }
}

template <typename T, typename LossAt>
__global__ void __launch_bounds__(kLossBlock, kDenseBlocks<T>)
    dense_loss_kernel(const __grid_constant__ LossParams p, const __grid_constant__ LossAt at,
                      const __grid_constant__ DenseWalk walk) {
  constexpr int n = kPack<T>;
  for (int64_t item = thread_index(); item < walk.items; item += thread_count()) {
    for_packs<T>(p, at, walk, item, [&](const LossPack<T, LossAt>& pack) {
      Pack<T, n> out;
#pragma unroll
      for (int j = 0; j < n; ++j) {
        out.values[j] = static_cast<T>(pack.loss(at, j));
      }
      store_pack(p.result, pack.first, out);
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
  constexpr int n = kPack<T>;
  const C of_sum = scalar_grad ? grad_of_sum<C>(p) : C(0);
  for (int64_t item = thread_index(); item < walk.items; item += thread_count()) {
    for_packs<T>(p, at, walk, item, [&](const LossPack<T, LossAt>& pack) {
      Pack<T, n> grad, out;
      if (!scalar_grad) {
        grad = load_pack<T, n>(p.grad.data, pack.first);
      }
#pragma unroll
      for (int j = 0; j < n; ++j) {
        out.values[j] = static_cast<T>(pack.gradient(at, j, scalar_grad ? of_sum : static_cast<C>(grad.values[j])));
      }
      store_pack(p.result, pack.first, out);
    });
  }
  if (thread_index() < walk.tail) {
    write_gradient<T>(p, at, p.count() - walk.tail + thread_index(), scalar_grad);
  }
}

// One block a chunk. The block of the last chunk also adds the tail.
template <typename T, typename LossAt>
__global__ void __launch_bounds__(kLossBlock, kDenseBlocks<T>)
    dense_partials_kernel(const __grid_constant__ LossParams p, const __grid_constant__ LossAt at,
                          const __grid_constant__ DenseWalk walk, int64_t chunks) {
  __shared__ double scratch[kWarp];
  for (int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    double total = 0.0;
    const int64_t begin = chunk * walk.chunk, end = minimum(walk.items, begin + walk.chunk);
    for (int64_t item = begin + threadIdx.x; item < end; item += blockDim.x) {
      for_packs<T>(p, at, walk, item, [&](const LossPack<T, LossAt>& pack) {
#pragma unroll
        for (int j = 0; j < kPack<T>; ++j) {
          total += pack.loss(at, j);
        }
      });
    }
    if (chunk == chunks - 1 && threadIdx.x < walk.tail) {
      total += weighted_loss<T>(p, at, p.element(p.count() - walk.tail + threadIdx.x));
    }
    total = block_reduce(total, Add{}, 0.0, scratch);
    if (threadIdx.x == 0) {
      p.partials[chunk] = total;
    }
  }
}

// Adds the partial sums. The launch has a single block.
template <typename C>
__global__ void loss_total_kernel(const double* partials, int64_t chunks, C* result) {
  __shared__ double scratch[kWarp];
  double total = 0.0;
  for (int64_t i = threadIdx.x; i < chunks; i += blockDim.x) {
    total += partials[i];
  }
  total = block_reduce(total, Add{}, 0.0, scratch);
  if (threadIdx.x == 0) {
    *result = static_cast<C>(total);
  }
}

struct CudaLoss {
  template <typename T, typename LossAt>
  static void forward(const LossCall& call, const LossAt& at, bool sum) {
    const LossParams& p = call.params;
    const CudaScope scope(call.out);
    const DenseWalk walk = dense_walk<T>(p, at, sum ? nullptr : &p.out, nullptr, kLossBlock);
    if (sum) {
      int64_t chunks = (p.count() + kChunk - 1) / kChunk;
      if (chunks > 0 && walk.possible) {
        // A chunk of items is never smaller than kChunk, so there are never more chunks than partials.
        static_assert(kLossBlock * kColumnsOfItem * kPack<double> >= kChunk);
        chunks = std::max<int64_t>((walk.items + walk.chunk - 1) / walk.chunk, 1);
        launch(dense_partials_kernel<T, LossAt>, grid_for(chunks, 1), kLossBlock, 0, scope.stream(), p, at, walk,
               chunks);
      } else if (chunks > 0) {
        launch(loss_partials_kernel<T, LossAt>, grid_for(chunks, 1), kLossBlock, 0, scope.stream(), p, at, chunks);
      }
      launch(loss_total_kernel<compute_t<T>>, 1, kLossBlock, 0, scope.stream(), p.partials, chunks,
             static_cast<compute_t<T>*>(p.total));
    } else if (p.count() > 0 && walk.possible) {
      launch(dense_loss_kernel<T, LossAt>, grid_for(walk.items, kLossBlock), kLossBlock, 0, scope.stream(), p, at,
             walk);
    } else if (p.count() > 0) {
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
    const DenseWalk walk = dense_walk<T>(p, at, &p.out, scalar_grad ? nullptr : &p.grad, kLossBlock);
    if (walk.possible) {
      launch(dense_gradient_kernel<T, LossAt>, grid_for(walk.items, kLossBlock), kLossBlock, 0, scope.stream(), p, at,
             walk, scalar_grad);
    } else {
      launch(loss_gradient_kernel<T, LossAt>, grid_for(p.count(), kLossBlock), kLossBlock, 0, scope.stream(), p, at,
             scalar_grad);
    }
  }

  // Two passes. Nothing calls it yet where speed counts: on CUDA, Python computes the gradient in the backward.
  template <typename T, typename LossAt>
  static void sum_and_gradient(const LossCall& call, const LossAt& at) {
    forward<T>(call, at, /*sum=*/true);
    backward<T>(call, at, /*scalar_grad=*/true);
  }
};

}  // namespace colad
