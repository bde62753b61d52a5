// Reductions in a fixed order, so that equal inputs give equal bits: within a warp by shuffles, within a block
// through shared memory; between blocks one partial each, merged by a second kernel in block order. No atomics.
#pragma once

#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/shared.cuh"

namespace mixop::kernels::cuda {

/// Sum over the lanes of a warp; every lane gets it. All 32 lanes must call.
template <class T>
__device__ __forceinline__ T warp_sum(T v) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) v += __shfl_xor_sync(0xFFFFFFFFu, v, offset);
  return v;
}

/// Largest over the lanes of a warp (a NaN is not kept); every lane gets it.
__device__ __forceinline__ float warp_max(float v) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) v = fmaxf(v, __shfl_xor_sync(0xFFFFFFFFu, v, offset));
  return v;
}

/// Sum over a one-dimensional block of kThreads (a multiple of 32); every thread gets it. All threads must call.
template <int kThreads, class T>
__device__ T block_sum(T v) {
  MIXOP_SHARED(T, partial, kThreads / kWarp);
  v = warp_sum(v);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  if (lane == 0) partial[warp] = v;
  __syncthreads();
  T sum = 0;
  for (int i = 0; i < kThreads / kWarp; ++i) sum += partial[i];
  __syncthreads();  // the array may be used again at once
  return sum;
}

/// Count, mean and sum of squared distances from the mean of a set of numbers.
struct Moments {
  float n, mean, m2;
};

/// Adds one number (Welford 1962).
__device__ __forceinline__ void add(Moments& m, float x) {
  m.n += 1;
  const float d = x - m.mean;
  m.mean += d / m.n;
  m.m2 += d * (x - m.mean);
}

/// The union of two sets (Chan, Golub and LeVeque 1979): no difference of large sums is formed.
__device__ __forceinline__ Moments merge(Moments a, Moments b) {
  const float n = a.n + b.n;
  if (n == 0) return a;
  const float d = b.mean - a.mean, share = b.n / n;
  return {n, a.mean + d * share, a.m2 + b.m2 + d * d * a.n * share};
}

}  // namespace mixop::kernels::cuda
