// Threads that share a row: one, a warp, or a whole block.
#pragma once

#include "kernels/core/cuda/reduce.cuh"

namespace mixop::kernels::cuda {

constexpr int kGroupBlock = 256;

/// kThreads is 1, 32 or 256. All threads of a group must call sum() and max().
template <int kThreads>
struct Group {
  static_assert(kThreads == 1 || kThreads == kWarp || kThreads == kGroupBlock);
  static constexpr int kSize = kThreads, kPerBlock = kGroupBlock / kThreads;

  /// The group's row and the thread's number within the group.
  __device__ __forceinline__ static int64_t row() {
    return static_cast<int64_t>(blockIdx.x) * kPerBlock + static_cast<int>(threadIdx.x) / kThreads;
  }
  __device__ __forceinline__ static int rank() { return static_cast<int>(threadIdx.x) % kThreads; }

  template <class T>
  __device__ __forceinline__ static T sum(T v) {
    if constexpr (kThreads == kWarp) return warp_sum(v);
    else if constexpr (kThreads == kGroupBlock) return block_sum<kGroupBlock>(v);
    else return v;
  }
  __device__ __forceinline__ static float max(float v) {
    if constexpr (kThreads > 1) v = warp_max(v);
    if constexpr (kThreads == kGroupBlock) {
      MIXOP_SHARED(float, warps, kGroupBlock / kWarp);
      if (threadIdx.x % kWarp == 0) warps[static_cast<int>(threadIdx.x) / kWarp] = v;
      __syncthreads();
      for (int w = 0; w < kGroupBlock / kWarp; ++w) v = fmaxf(v, warps[w]);
      __syncthreads();  // the array may be used again at once
    }
    return v;
  }
};

/// Largest element of the group's row and the sum of exp(x - top), which every thread of the group gets. x(k) is
/// element k of n.
struct ExpSum {
  float top;
  double sum;
};
template <class G, class X>
__device__ __forceinline__ ExpSum exp_sum(int64_t n, X&& x) {
  float top = -INFINITY;
  for (int64_t k = G::rank(); k < n; k += G::kSize) top = fmaxf(top, x(k));
  top = G::max(top);
  double sum = 0;
  for (int64_t k = G::rank(); k < n; k += G::kSize) sum += static_cast<double>(expf(x(k) - top));
  return {top, G::sum(sum)};
}

}  // namespace mixop::kernels::cuda
