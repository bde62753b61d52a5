// The product of separable_grad's kernel for the weights: dw_pw = y^T dz of the tiles of a block, in registers.
#pragma once

#include "kernels/ops/separable_grad_weights_tile.cuh"

namespace mixop::kernels {
namespace {

/// Threads as teams of K, each with every so many pixels: a thread has 4 x 4 elements of dw_pw.
struct FmaProducts {
  float4 sum[4];

  __device__ FmaProducts() {
#pragma unroll
    for (float4& v : sum) v = make_float4(0, 0, 0, 0);
  }
  __device__ static int teams(int depth) { return kThreads / depth; }

  template <class S>
  __device__ __forceinline__ void add(S shared, const WeightLayout& at, int depth) {
    const Cell cell(depth);
    const int pitch = depth_pitch(depth);
#pragma unroll 2
    for (int p = cell.team; p < kPixels && cell.team < teams(depth); p += teams(depth)) {
      const float4 y = cuda::load4(shared, at.y + p * kYPitch + cell.channel);
      const float4 d = cuda::load4(shared, at.dz + p * pitch + cell.k);
      sum[0] = cuda::fma4(sum[0], d, y.x), sum[1] = cuda::fma4(sum[1], d, y.y);
      sum[2] = cuda::fma4(sum[2], d, y.z), sum[3] = cuda::fma4(sum[3], d, y.w);
    }
  }
  /// [team][channel][k] from the beginning of shared memory on.
  template <class S>
  __device__ __forceinline__ void store(S shared, int depth) const {
    const Cell cell(depth);
    if (cell.team >= teams(depth)) return;
#pragma unroll
    for (int j = 0; j < 4; ++j)
      cuda::store4(shared, (cell.team * kGroup + cell.channel + j) * depth + cell.k, sum[j]);
  }

 private:
  struct Cell {
    int team, channel, k;
    __device__ explicit Cell(int depth) {
      const int thread = static_cast<int>(threadIdx.x), cell = thread % depth;
      team = thread / depth;
      channel = cell / (depth / 4) * 4;
      k = cell % (depth / 4) * 4;
    }
  };
};

/// The same on tensor cores with factors rounded to TF32: a warp has 16 channels and 32 columns, of every so many
/// eighths of the pixels.
struct MmaProducts {
  static constexpr int kTiles = 4;  ///< of 8 columns
  float sum[kTiles][4];

  __device__ MmaProducts() {
#pragma unroll
    for (auto& tile : sum)
#pragma unroll
      for (float& v : tile) v = 0;
  }
  __device__ static int teams(int depth) { return kWarps / across(depth); }

  template <class S>
  __device__ __forceinline__ void add(S shared, const WeightLayout& at, int depth) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp, team = warp / across(depth);
    const int g = static_cast<int>(threadIdx.x) % kWarp / 4, t = static_cast<int>(threadIdx.x) % 4;
    const int first = warp % across(depth) * 8 * kTiles, pitch = depth_pitch(depth);
#pragma unroll 1  // registers are short
    for (int p = 8 * team; p < kPixels && team < teams(depth); p += 8 * teams(depth)) {
      const int y = at.y + (p + t) * kYPitch + g, dz = at.dz + (p + t) * pitch + g;
      const float a[4] = {cuda::to_tf32(shared[y]), cuda::to_tf32(shared[y + 8]),
                          cuda::to_tf32(shared[y + 4 * kYPitch]), cuda::to_tf32(shared[y + 4 * kYPitch + 8])};
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const int k = first + 8 * j;
        if (k >= depth) break;
        const bool present = k + g < depth;  // fours of channels
        const float b[2] = {present ? cuda::to_tf32(shared[dz + k]) : 0.0f,
                            present ? cuda::to_tf32(shared[dz + k + 4 * pitch]) : 0.0f};
        cuda::mma_tf32(sum[j], a, b);
      }
    }
  }
  template <class S>
  __device__ __forceinline__ void store(S shared, int depth) const {
    const int warp = static_cast<int>(threadIdx.x) / kWarp, team = warp / across(depth);
    const int g = static_cast<int>(threadIdx.x) % kWarp / 4, t = static_cast<int>(threadIdx.x) % 4;
    const int first = warp % across(depth) * 8 * kTiles + 2 * t;
    if (team >= teams(depth)) return;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const int k = first + 8 * j, to = (team * kGroup + g) * depth + k;
      if (k >= depth) break;
      cuda::store2(shared, to, make_float2(sum[j][0], sum[j][1]));
      cuda::store2(shared, to + 8 * depth, make_float2(sum[j][2], sum[j][3]));
    }
  }

 private:
  __device__ static int across(int depth) { return (depth + 8 * kTiles - 1) / (8 * kTiles); }
};

/// The block's sums of dw_pw [channel][k], from those of its teams, to `to`.
template <class Products, class S>
__device__ __forceinline__ void write_products(S shared, const Products& products, int depth, float* to) {
  const int size = kGroup * depth, teams = Products::teams(depth);
  products.store(shared, depth);
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) {
    float sum = 0;
    for (int t = 0; t < teams; ++t) sum += shared[t * size + i];
    to[i] = sum;
  }
}

}  // namespace
}  // namespace mixop::kernels
