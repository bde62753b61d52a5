// Kernels for the emulator's own tests: right ones, and each with one thing broken that the emulator must find.
#pragma once

#include <cuda_runtime.h>

#include "kernels/core/cuda/reduce.cuh"
#include "kernels/core/cuda/vec.cuh"

namespace mixop::kernels {
namespace {

constexpr int kThreads = 256;
enum class Break { kNothing, kFirstBarrier, kSecondBarrier, kIndex, kUnwritten };

__device__ __forceinline__ int thread() { return static_cast<int>(threadIdx.x); }
__device__ __forceinline__ int item() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

/// y[block] = sum of the block's x.
__global__ void __launch_bounds__(kThreads) sum_blocks(const float* __restrict__ x, float* __restrict__ y) {
  const float sum = cuda::block_sum<kThreads>(x[item()]);
  if (thread() == 0) y[blockIdx.x] = sum;
}

/// y = x with every 256 numbers rotated left by `rounds`; the tile is used again in each round.
template <Break kBreak>
__global__ void rotate(const float* __restrict__ x, float* __restrict__ y, int rounds) {
  MIXOP_SHARED(float, tile, kThreads);
  float v = x[item()];
  const int t = thread(), past = kBreak == Break::kIndex ? 1 : 0;
  for (int round = 0; round < rounds; ++round) {
    if (kBreak != Break::kUnwritten || t != 7) tile[t + past] = v;
    if (kBreak != Break::kFirstBarrier) __syncthreads();
    v = tile[(t + 1) % kThreads];
    if (kBreak != Break::kSecondBarrier) __syncthreads();
  }
  y[item()] = v;
}

template <class Tile>
__device__ float column(Tile tile, int i) {
  return tile[(i % 16) * 17 + i / 16];
}

/// y[c, r] = x[r, c] for a matrix of n * n, n a multiple of 16; a block of 16 * 16 threads owns a tile.
__global__ void transpose(const float* __restrict__ x, float* __restrict__ y, int n) {
  MIXOP_SHARED(float, tile, 16 * 17);
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int bx = static_cast<int>(blockIdx.x) * 16, by = static_cast<int>(blockIdx.y) * 16;
  tile[ty * 17 + tx] = x[(by + ty) * n + bx + tx];
  __syncthreads();
  y[(bx + ty) * n + by + tx] = column(tile, ty * 16 + tx);
}

/// y = the running sum of x in a block, over dynamic shared memory (Hillis and Steele).
__global__ void running_sum(const float* __restrict__ x, float* __restrict__ y) {
  MIXOP_DYNAMIC_SHARED(float, sums);
  const int t = thread();
  sums[t] = x[item()];
  for (int step = 1; step < static_cast<int>(blockDim.x); step *= 2) {
    __syncthreads();
    const float before = t >= step ? sums[t - step] : 0.0f;
    __syncthreads();
    sums[t] += before;
  }
  y[item()] = sums[t];
}

/// Each lane hands its number to the one before it, in groups of kGroup lanes, through shared memory; kSynced lanes
/// wait for each other (0: none do).
template <int kGroup, int kSynced>
__global__ void rotate_warp(const float* __restrict__ x, float* __restrict__ y) {
  MIXOP_SHARED(float, slots, kThreads);
  const int t = thread(), next = t / kGroup * kGroup + (t + 1) % kGroup;
  const unsigned mask = kSynced == 32 ? 0xFFFFFFFFu : 0xFFFFu << (t % 32 / 16 * 16);
  slots[t] = x[item()];
  if (kSynced) __syncwarp(mask);
  const float v = slots[next];
  if (kSynced) __syncwarp(mask);
  slots[t] = v + 1;
  y[item()] = v;
}

/// The shuffles with groups of 8 lanes, all kinds and types, and the votes.
__global__ void shuffles(int* y) {
  const int t = thread(), lane = t % 32;
  const unsigned all = 0xFFFFFFFFu, half = lane < 16 ? 0xFFFFu : 0xFFFF0000u;
  int* out = y + 12 * t;
  out[0] = __shfl_sync(all, lane, 11);
  out[1] = __shfl_sync(all, lane, 3, 8);
  out[2] = static_cast<int>(__shfl_up_sync(all, static_cast<float>(lane), 3, 8));
  out[3] = static_cast<int>(__shfl_down_sync(all, static_cast<double>(lane), 3, 8));
  out[4] = static_cast<int>(__shfl_xor_sync(all, static_cast<unsigned>(lane), 5));
  out[5] = static_cast<int>(__shfl_xor_sync(all, int64_t{lane} << 40, 16, 8) >> 40);
  out[6] = static_cast<int>(__ballot_sync(all, lane % 3 == 0));
  out[7] = __any_sync(all, lane == 31);
  out[8] = __all_sync(all, lane == 31);
  out[9] = static_cast<int>(__ballot_sync(half, 1));
  out[10] = lane < 16 ? __shfl_xor_sync(half, lane, 1) : -1;
  out[11] = lane < 16 ? -1 : __shfl_down_sync(half, lane, 1, 16);
}

__global__ void copy_from(const float* x, float* y, int shift) { y[item()] = x[item() + shift]; }
__global__ void copy_to(const float* x, float* y, int shift) { y[item() + shift] = x[item()]; }
__global__ void copy4(const float* x, float* y) { cuda::store4(y + 4 * item(), cuda::load4(x + 4 * item())); }
__global__ void double_it(float* x) { x[item()] *= 2; }

/// The rest is what threads of a kernel that may start early get wrong; this one is right.
__global__ void double_after_wait(float* x) {
  cuda::wait_for_earlier();
  x[item()] *= 2;
}
__global__ void wait_in_branch(float* x) {
  if (thread() >= 8) return;
  cuda::wait_for_earlier();
  x[item()] *= 2;
}
__global__ void load_before_wait(float* x) {
  const float4 v = cuda::load4(x + 4 * item());
  cuda::wait_for_earlier();
  cuda::store4(x + 4 * item(), v);
}

__global__ void barrier_after_return(float* x) {
  if (thread() == 5) return;
  __syncthreads();
  x[item()] = 1;
}
__global__ void barrier_in_branch(float* x) {
  if (thread() < 32) __syncthreads();
  else __syncthreads();
  x[item()] = 1;
}
__global__ void shuffle_in_branch(float* x) {
  if (thread() < 20) x[item()] = cuda::warp_sum(x[item()]);
}
__global__ void shuffle_beside_barrier(float* x) {
  if (thread() < 20) x[item()] = cuda::warp_sum(x[item()]);
  else __syncthreads();
}
__global__ void shuffles_in_two_branches(float* x) {
  float v = 0;
  if (thread() < 20) v = __shfl_sync(0xFFFFFFFFu, 1.0f, 0);
  else v = __shfl_sync(0xFFFFFFFFu, 2.0f, 0);
  x[item()] = v;
}
__global__ void shuffle_from_outside_mask(float* x) {
  if (thread() < 16) x[item()] = __shfl_sync(0xFFFFu, x[item()], 16);
}
__global__ void shuffle_from_absent_lane(float* x) { x[item()] = __shfl_sync(0xFFFFFFFFu, x[item()], 31); }

/// All threads write one element, though the same number.
__global__ void write_together(float* x) {
  MIXOP_SHARED(float, flag, 1);
  flag[0] = 1;
  __syncthreads();
  x[item()] = flag[0];
}
__global__ void too_much_shared(float* x) {
  MIXOP_SHARED(float, a, 8 * 1024);
  MIXOP_SHARED(double, b, 2 * 1024 + 1);
  a[thread()] = x[item()];
  b[thread()] = a[thread()];
  x[item()] = static_cast<float>(b[thread()]);
}
__device__ float deep(const float* x, int depth) {
  volatile float big[1024];
  big[depth % 1024] = x[0];
  return depth == 0 ? 0.0f : deep(x, depth - 1) + big[depth % 1024];
}
__global__ void endless_recursion(float* x) { x[item()] = deep(x, 1000000); }

}  // namespace
}  // namespace mixop::kernels
