// Co-learning on CUDA. The kernel that computes the costs of all networks also computes the indicators, and its last
// block compares the networks. Another kernel splits the objects.
#include "common/last_block.cuh"
#include "ops/colad_assign/colad_split.h"
#include "ops/paa_assign/candidate_costs.cuh"
#include "ops/split_candidates/object_split.cuh"

namespace colad {
namespace {

// The indicators of object `row` by the costs of one network. All threads of the block call it.
__device__ void write_indicators(const IndicatorParams& p, int64_t network, int64_t row, const KeyList& list,
                                 ObjectMemory& memory) {
  const CandidateParams& c = p.split.candidates;
  const int64_t i = network * p.count() + row * p.values_an_object;
  const int warp = warp_in_block(), lane = threadIdx.x % kWarp;
  if (p.options.indicator == Indicator::fisher) {
    const Samples samples = samples_of(p.split, network * c.objects + row, list, memory);
    if (warp == 0) {
      const EmResult fit = fit_samples(samples, p.split.options.mixture);
      if (lane == 0) {
        p.values[i] = fisher_score(fit.mixture);
      }
    }
    return;
  }
  for (int level = warp; level < p.values_an_object; level += kObjectBlock / kWarp) {
    const bool all = p.options.granularity != Granularity::object_level;
    const int64_t first = all ? 0 : c.level_begin[level], end = all ? c.anchor_count : c.level_begin[level + 1];
    const CostMoments moments = with_keys(list, memory, [&](const uint64_t* keys) {
      return cost_moments_warp(keys, list.count, [=](int64_t anchor) { return anchor >= first && anchor < end; });
    });
    if (lane == 0) {
      p.counts[i + level] = moments.count;
      p.means[i + level] = moments.mean;
      p.values[i + level] = std_over_mean(moments.mean, moments.std);
    }
  }
}

__device__ IndicatorSum sum_of(const double* values, int64_t begin, int64_t end, int64_t step) {
  IndicatorSum sum;
  for (int64_t i = begin; i < end; i += step) {
    sum.add(values[i]);
  }
  return sum;
}

// Compares the networks, in one block. Every sum has a fixed order, the same one for each network.
__device__ void write_choices(const IndicatorParams& p, double* scratch) {
  const CandidateParams& c = p.split.candidates;
  for (int64_t network = 0; network < p.networks; ++network) {
    const IndicatorSum own = sum_of(p.values + network * p.count(), threadIdx.x, p.count(), kObjectBlock);
    const double sum = block_reduce(own.sum, Add{}, 0.0, scratch), count = block_reduce(own.count, Add{}, 0.0, scratch);
    if (threadIdx.x == 0) {
      p.totals[network] = sum;
      p.totals[p.networks + network] = count;
    }
  }
  if (p.options.granularity == Granularity::image) {
    for (int64_t i = threadIdx.x / kWarp; i < p.networks * c.images; i += kObjectBlock / kWarp) {
      const Rows rows = rows_of_image(c.gt_offsets, i % c.images, c.objects);
      const double* const values = p.values + i / c.images * p.count();
      IndicatorSum sum = sum_of(values, rows.begin + threadIdx.x % kWarp, rows.end, kWarp);
      sum.sum = warp_reduce(sum.sum, Add{});
      sum.count = warp_reduce(sum.count, Add{});
      if (threadIdx.x % kWarp == 0) {
        p.images[i] = sum.mean();
      }
    }
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < p.count(); i += kObjectBlock) {
    write_choice(p, i);
  }
}

// The objects whose costs are all known once a group of anchors is done, for all networks.
struct Completed {
  int row[kAtOnce];
  int count;
};

// Finds the objects that a group of anchors completes. All threads of the block call it.
__device__ void find_completed(const CandidateBuckets& b, const ListedAnchor* list, int count, Completed& completed) {
  __threadfence();
  if (threadIdx.x == 0) {
    completed.count = 0;
  }
  __syncthreads();
  if (threadIdx.x < count) {
    const int row = list[threadIdx.x].row;
    if (atomicAdd(&b.done[row], 1) == b.networks * b.count[row] - 1) {
      completed.row[atomicAdd(&completed.count, 1)] = row;
    }
    __threadfence();
  }
  __syncthreads();
}

// Writes the indicators of object `row` for all networks. All threads of the block call it.
__device__ void write_indicators_of_object(const IndicatorParams& p, const CandidateBuckets& buckets, int64_t row,
                                           ObjectMemory& memory) {
  for (int64_t network = 0; network < p.networks; ++network) {
    uint64_t* const keys = buckets.keys + network * buckets.places();
    const KeyList list =
        read_bucket(buckets, row, keys, [=](int64_t place) { return keys[place]; }, [](int64_t, int64_t) {}, memory);
    write_indicators(p, network, row, list, memory);
    __syncthreads();  // the next network reuses the memory
  }
}

// Writes the indicators of the objects without candidates, in one block.
__device__ void write_undefined(const IndicatorParams& p, const CandidateBuckets& buckets) {
  for (int64_t i = threadIdx.x; i < p.networks * p.count(); i += kObjectBlock) {
    if (buckets.count[i % p.count() / p.values_an_object] == 0) {
      p.counts[i] = 0;
      p.values[i] = p.means[i] = std::numeric_limits<double>::quiet_NaN();
    }
  }
}

// The costs of the networks of this launch. The block that completes an object writes the object's indicators; the last
// block of the last launch adds those of the objects without candidates, and compares the networks.
template <typename T, bool kSquare>
__global__ void network_cost_kernel(const __grid_constant__ CostsOfNetworks costs,
                                    const __grid_constant__ IndicatorParams p,
                                    const __grid_constant__ CandidateBuckets buckets) {
  __shared__ ListedCosts cost_memory;
  __shared__ Completed completed;
  __shared__ ObjectMemory memory;
  __shared__ double scratch[kWarp];
  static_assert(kCostBlock == kObjectBlock);
  wait_for_previous_kernel();
  write_candidate_costs<T, kSquare>(costs, buckets, cost_memory, [&](const ListedAnchor* list, int count) {
    find_completed(buckets, list, count, completed);
    for (int i = 0; i < completed.count; ++i) {
      write_indicators_of_object(p, buckets, completed.row[i], memory);
    }
  });
  if (costs.last && is_last_block(buckets.arrived + 1)) {
    write_undefined(p, buckets);
    write_choices(p, scratch);  // a thread reads what it wrote itself, and after a first barrier what the others wrote
  }
}

// Splits every object by the costs of its teacher. One block an object; all blocks write the anchors without an object.
__global__ void colad_split_kernel(const __grid_constant__ SplitParams p, const __grid_constant__ ColadSplitParams c,
                                   const __grid_constant__ CandidateBuckets buckets) {
  __shared__ ObjectMemory memory;
  __shared__ int64_t networks[kMaxLevels];
  const CandidateParams& candidates = p.candidates;
  wait_for_previous_kernel();
  for (int64_t i = thread_index(); i < buckets.places(); i += thread_count()) {
    if (candidates.matched[i] < 0) {
      p.matched[i] = candidates.matched[i];
      c.cost[i] = kNoCost;
    }
  }
  if (thread_index() < c.networks) {
    c.indicators[thread_index()] = mean_indicator(c, thread_index());
  }
  for (int64_t row = blockIdx.x; row < candidates.objects; row += gridDim.x) {
    if (threadIdx.x < c.levels) {
      const int64_t teacher = teacher_of(c, row, threadIdx.x);
      c.teacher[row * c.levels + threadIdx.x] = teacher;
      networks[threadIdx.x] = network_or_first(teacher, c.networks);
    }
    __syncthreads();
    const auto network_of = [&](int64_t anchor) { return networks[level_of(anchor, c.level_begin)]; };
    const auto key = [&](int64_t place) {
      const int64_t anchor = buckets.anchor_of(sample_anchor(buckets.keys[place]));
      return buckets.keys[network_of(anchor) * buckets.places() + place];
    };
    const auto visit = [&](int64_t index, int64_t anchor) {
      p.matched[index] = kBackground;
      c.cost[index] = c.costs[network_of(anchor) * buckets.places() + index];
    };
    const KeyList list = read_bucket(buckets, row, c.overflow, key, visit, memory);
    split_object(p, row, list, memory);
  }
}

struct ColadIndicatorsCuda {
  static constexpr int64_t kSamplesInPlace = SplitCandidatesCuda::kSamplesInPlace;

  static void run(IndicatorCall& call) {
    const IndicatorParams& p = call.params;
    const CandidateParams& c = p.split.candidates;
    const CudaScope scope(call.match.anchors);
    const BucketMemory memory = new_buckets(call.match.anchors, c.images, c.anchor_count, c.objects, p.networks);
    call.counters = memory.counters;
    call.keys = memory.keys;
    std::vector<AssignCostParams> costs;
    for (const AssignCostCall& of_network : call.costs) {
      costs.push_back(of_network.params);
    }
    const CandidateBuckets& buckets = memory.buckets;
    MatchAnchorsCuda::match(call.match, {buckets, costs[0].cost}, scope);
    for_each_cost_launch(costs, buckets, [&]<typename T, bool kSquare>(const auto& of_networks, unsigned grid) {
      launch_dependent(network_cost_kernel<T, kSquare>, grid, kCostBlock, 0, scope.stream(), of_networks, p, buckets);
    });
  }
};

struct ColadSplitCuda {
  static constexpr int64_t kSamplesInPlace = SplitCandidatesCuda::kSamplesInPlace;
  static constexpr bool kBuckets = true;

  static void run(const ColadSplitCall& call) {
    const CandidateParams& c = call.split.params.candidates;
    const CudaScope scope(call.costs);
    const CandidateBuckets buckets =
        buckets_in(call.counters, call.keys, call.keys, c.images, c.anchor_count, c.objects, call.params.networks);
    const unsigned grid = std::max(grid_for(c.objects, 1), grid_for(c.images * c.anchor_count, kObjectBlock));
    launch_dependent(colad_split_kernel, grid, kObjectBlock, 0, scope.stream(), call.split.params, call.params,
                     buckets);
  }
};

}  // namespace
}  // namespace colad

STABLE_TORCH_LIBRARY_IMPL(colad, CUDA, m) {
  m.impl("colad_indicators", COLAD_BOX(&colad::colad_indicators_op<colad::ColadIndicatorsCuda>));
  m.impl("colad_split", COLAD_BOX(&colad::colad_split_op<colad::ColadSplitCuda>));
}
