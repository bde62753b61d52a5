// The 1x1 half of the fused forward kernel: z of a tile from y in shared memory, and its statistics in registers.
#pragma once

#include "kernels/core/cuda/mma.cuh"
#include "kernels/core/cuda/shared.cuh"
#include "kernels/core/cuda/vec.cuh"
#include "kernels/ops/separable_forward_units.cuh"

namespace mixop::kernels {
namespace {

using cuda::kWarp;
using cuda::Moments;

/// The columns [first, first + u.columns) of w_pw into shared memory, 0 beyond the last.
template <class S>
__device__ __forceinline__ void stage_pointwise(S shared, const SeparableForwardUnit& u, int first) {
  const int quads = u.columns / 4;
  for (int i = static_cast<int>(threadIdx.x); i < u.channels * quads; i += kSeparableThreads) {
    const int c = i / quads, k = first + i % quads * 4;
    const bool present = k < u.out_channels;
    cuda::store4(shared, u.w_at + 4 * i,
                 present ? cuda::load4(u.w_pw + int64_t{c} * u.out_channels + k) : make_float4(0, 0, 0, 0));
  }
}

/// Where the factors of a product lie in shared memory: y from y_at on, `pitch` floats a cell, and `columns`
/// columns of w_pw from w_at on.
struct PointwiseFactors {
  int channels, y_at, pitch, w_at, columns;
};

/// z[i] += y w_pw for cell `cell` + 8 i and 4 columns, the first of which is `column` of those in shared memory.
template <int kCells, class S>
__device__ __forceinline__ void multiply_float32(S shared, const PointwiseFactors& f, int cell, int column,
                                                 float4 (&z)[kCells]) {
  const int y_at = f.y_at + cell * f.pitch;
  for (int c = 0; c < f.channels; c += 4) {
    float4 w[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) w[j] = cuda::load4(shared, f.w_at + (c + j) * f.columns + column);
#pragma unroll
    for (int i = 0; i < kCells; ++i) {
      const float4 y = cuda::load4(shared, y_at + 8 * i * f.pitch + c);
      z[i] = cuda::fma4(cuda::fma4(cuda::fma4(cuda::fma4(z[i], w[0], y.x), w[1], y.y), w[2], y.z), w[3], y.w);
    }
  }
}

/// The same on tensor cores with factors rounded to TF32, in steps of 8 channels. Of two tiles of 8 columns, tile j
/// has the columns 4 t + 2 j and 4 t + 2 j + 1 of the 16: that leaves 4 neighbouring columns to a lane.
template <int kCells, class S>
__device__ __forceinline__ void multiply_tf32(S shared, const PointwiseFactors& f, int cell, int column,
                                              float4 (&z)[kCells]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, g = lane / 4, t = lane % 4;
  const int y_at = f.y_at + cell * f.pitch + t;
  const int w_at = f.w_at + t * f.columns + column - 4 * t + 4 * (g / 2) + g % 2;
  for (int c = 0; c < f.channels; c += 8) {
    const bool both = c + 4 < f.channels;  // fours of channels
    float b[2][2];
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      b[j][0] = cuda::to_tf32(shared[w_at + c * f.columns + 2 * j]);
      b[j][1] = both ? cuda::to_tf32(shared[w_at + (c + 4) * f.columns + 2 * j]) : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kCells; i += 2) {
      const int top = y_at + 8 * i * f.pitch + c, bottom = top + 8 * f.pitch;
      const float a[4] = {cuda::to_tf32(shared[top]), cuda::to_tf32(shared[bottom]),
                          both ? cuda::to_tf32(shared[top + 4]) : 0.0f,
                          both ? cuda::to_tf32(shared[bottom + 4]) : 0.0f};
      float left[4] = {z[i].x, z[i].y, z[i + 1].x, z[i + 1].y}, right[4] = {z[i].z, z[i].w, z[i + 1].z, z[i + 1].w};
      cuda::mma_tf32(left, a, b[0]);
      cuda::mma_tf32(right, a, b[1]);
      z[i] = make_float4(left[0], left[1], right[0], right[1]);
      z[i + 1] = make_float4(left[2], left[3], right[2], right[3]);
    }
  }
}

template <int kCells, bool kTf32, class S>
__device__ __forceinline__ void multiply(S shared, const PointwiseFactors& f, int cell, int column,
                                         float4 (&z)[kCells]) {
  if constexpr (kTf32) multiply_tf32<kCells>(shared, f, cell, column, z);
  else multiply_float32<kCells>(shared, f, cell, column, z);
}

/// Over the lanes that share 4 columns.
__device__ __forceinline__ float4 sum_of_cells(float4 v) {
#pragma unroll
  for (int offset = 4; offset < kWarp; offset *= 2) {
    v.x += __shfl_xor_sync(0xFFFFFFFFu, v.x, offset), v.y += __shfl_xor_sync(0xFFFFFFFFu, v.y, offset);
    v.z += __shfl_xor_sync(0xFFFFFFFFu, v.z, offset), v.w += __shfl_xor_sync(0xFFFFFFFFu, v.w, offset);
  }
  return v;
}

/// The statistics of a warp's cells, of which bit i of `inside` says whether the lane's cell i counts: the mean
/// first, then the squares of what differs from it.
template <int kCells>
__device__ __forceinline__ void write_moments(const float4 (&z)[kCells], unsigned inside, Moments* to,
                                              bool writes) {
  const float4 none = make_float4(0, 0, 0, 0);
  float n = static_cast<float>(__popc(inside));
#pragma unroll
  for (int offset = 4; offset < kWarp; offset *= 2) n += __shfl_xor_sync(0xFFFFFFFFu, n, offset);
  float4 sum = none;
#pragma unroll
  for (int i = 0; i < kCells; ++i) sum = cuda::add4(sum, inside >> i & 1 ? z[i] : none);
  sum = sum_of_cells(sum);
  const float inverse = n > 0 ? 1 / n : 0;
  const float4 mean = make_float4(sum.x * inverse, sum.y * inverse, sum.z * inverse, sum.w * inverse);
  float4 squares = none;
#pragma unroll
  for (int i = 0; i < kCells; ++i) {
    const float4 d = make_float4(z[i].x - mean.x, z[i].y - mean.y, z[i].z - mean.z, z[i].w - mean.w);
    if (inside >> i & 1) squares = cuda::fma4(squares, d, d);
  }
  squares = sum_of_cells(squares);
  if (!writes) return;
  to[0] = {n, mean.x, squares.x}, to[1] = {n, mean.y, squares.y};
  to[2] = {n, mean.z, squares.z}, to[3] = {n, mean.w, squares.w};
}

/// Stores z[i] of 4 columns from k on at pixel_of(i), nowhere where that is negative, and the warp's moments as
/// this part.
template <int kCells, class F>
__device__ __forceinline__ void write_cells(const SeparableForwardUnit& u, const float4 (&z)[kCells], int k,
                                            int64_t part, F&& pixel_of) {
  unsigned inside = 0;
#pragma unroll
  for (int i = 0; i < kCells; ++i) {
    const int64_t pixel = pixel_of(i);
    if (pixel < 0) continue;
    inside |= 1u << i;
    if (k < u.out_channels) u.z.store4(pixel * u.z_ld + k, z[i]);
  }
  if (u.statistics.part)
    write_moments<kCells>(z, inside, u.statistics.part + part * u.out_channels + k,
                          threadIdx.x % kWarp < 4 && k < u.out_channels);
}

/// z of the tile from y in shared memory. A warp takes 8 * kCells cells and 16 columns at a time, of which a lane
/// has every eighth cell and 4 columns, so that what a warp stores at once is contiguous. The first columns of w_pw
/// are in place.
template <int kCells, bool kTf32, class S>
__device__ __forceinline__ void pointwise_from_shared(S shared, const SeparableForwardUnit& u, SeparablePlace place,
                                                      int tile) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  constexpr int kAcross = kCells, kLog = kAcross == 16 ? 4 : 3, kParts = kAcross / 8;
  static_assert(8 * kCells * kParts == kAcross * kAcross);
  const PointwiseFactors factors{u.channels, u.y_at, separable_y_pitch(kCells == 16, u.channels), u.w_at,
                                 u.columns};
  const int fold = u.stride < u.dilation ? 1 : 0;  // two classes of cells along each axis
  const auto unfolded = [&](int at) { return ((at & ((kAcross >> fold) - 1)) << fold) + (at >> (kLog - fold)); };
  for (int first = 0; first < u.out_channels; first += u.columns) {
    if (first > 0) {
      __syncthreads();
      stage_pointwise(shared, u, first);
      __syncthreads();
    }
    const int groups = (min(u.columns, u.out_channels - first) + kSeparableGroup - 1) / kSeparableGroup;
    for (int job = warp; job < groups * kParts; job += kSeparableWarps) {
      const int part = job % kParts, column = job / kParts * kSeparableGroup + lane % 4 * 4;
      const int cell = part * 8 * kCells + lane / 4;
      float4 z[kCells] = {};
      multiply<kCells, kTf32>(shared, factors, cell, column, z);
      write_cells<kCells>(u, z, first + column, int64_t{tile} * kParts + part, [&](int i) -> int64_t {
        const int h = place.row + unfolded((cell + 8 * i) / kAcross),
                  w = place.column + unfolded((cell + 8 * i) % kAcross);
        if (h >= u.out_height || w >= u.out_width) return -1;
        return (place.image * u.out_height + h) * u.out_width + w;
      });
    }
  }
}

}  // namespace
}  // namespace mixop::kernels
