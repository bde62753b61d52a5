// What a block of separable_grad's kernel for the weights does with a tile of 8 x 8 pixels of z and 16 channels of
// x.
#pragma once

#include "kernels/ops/separable_grad_products.cuh"

namespace mixop::kernels {
namespace {

using cuda::kWarp;

constexpr int kThreads = 128, kWarps = kThreads / kWarp;
constexpr int kGroup = kGradWeightChannels, kQuads = kGroup / 4, kPairs = kGroup / 2;  ///< channels of a block
constexpr int kSide = kGradWeightSide, kPixels = kSide * kSide;                        ///< of a tile
constexpr int kColumns = 4;  ///< of a thread, in one row, with 2 channels
constexpr int kYPitch = 20;  ///< floats of a pixel of y: an odd number of quads

/// Floats of a pixel of dz: likewise.
__host__ __device__ constexpr int depth_pitch(int k) { return (k / 4 | 1) * 4; }

/// t(x) for a tile: window element q of pixel o lies at position kStep * o + kDilation * q along each axis.
template <int kKernel_, int kStep_, int kDilation_>
struct InputTile {
  static constexpr int kKernel = kKernel_, kStep = kStep_, kDilation = kDilation_;
  static constexpr int kSpan = (kSide - 1) * kStep + (kKernel - 1) * kDilation + 1;
  // Pixels of neighbouring rows lie an odd number of pixels, that is of half bank rows, apart.
  static constexpr int kPitch = kSpan + kSpan % 2;
  static constexpr int row_offset(int row) { return row * kPitch + row / kStep; }
  static constexpr int kFloats = (row_offset(kSpan - 1) + kPitch) * kGroup;
};

/// Without a depthwise half t(x) is y.
struct PointTile {
  static constexpr int kKernel = 1, kFloats = 0;
};

/// Calls f.template operator()<Tile>() with that of the unit. A stride that the dilation divides by reads every
/// second position only, and then there is no dilation among these.
template <class F>
__host__ __device__ __forceinline__ void with_input_tile(const SeparableGradArgs& u, F&& f) {
  const auto with_kernel = [&]<int kKernel>() {
    if (u.stride > u.dilation) f.template operator()<InputTile<kKernel, 2, 1>>();
    else if (u.stride < u.dilation) f.template operator()<InputTile<kKernel, 1, 2>>();
    else f.template operator()<InputTile<kKernel, 1, 1>>();
  };
  if (u.kernel == 5) with_kernel.template operator()<5>();
  else if (u.kernel == 3) with_kernel.template operator()<3>();
  else f.template operator()<PointTile>();
}

/// What lies in shared memory behind the tile of x, in floats.
struct WeightLayout {
  int dz, y, factors, floats;
  __host__ __device__ WeightLayout(int tile_floats, int k)
      : dz(tile_floats),
        y(dz + kPixels * depth_pitch(k)),
        factors(y + kPixels * kYPitch),
        floats(factors + 4 * k) {}
};

struct WeightPlace {
  int image, row, column, channel;  ///< the first pixel of z and channel of x
};

template <class Tile, class S>
__device__ __forceinline__ void stage_input(S shared, const SeparableGradArgs& u, const WeightPlace& place) {
  constexpr int kBatch = Tile::kKernel == 5 ? 2 : 4, kStride = kThreads / kQuads,
                kCount = Tile::kSpan * Tile::kSpan;
  const int lane = static_cast<int>(threadIdx.x) % kQuads * 4, c = place.channel + lane;
  const bool present = c < u.channels;
  const GradLoadQuad t(u.load, present ? c : 0);
  const int step = u.stride / Tile::kStep, top = place.row * u.stride - u.pad,
            left = place.column * u.stride - u.pad;
  const cuda::Stored image = u.x.from(int64_t{place.image} * u.height * u.width * u.x_ld + c);
  for (int first = static_cast<int>(threadIdx.x) / kQuads; first < kCount; first += kBatch * kStride) {
    float4 x[kBatch];
    unsigned inside = 0;
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * kStride, h = top + i / Tile::kSpan * step, w = left + i % Tile::kSpan * step;
      x[b] = make_float4(0, 0, 0, 0);
      if (!present || i >= kCount || h < 0 || h >= u.height || w < 0 || w >= u.width) continue;
      x[b] = image.raw4((h * u.width + w) * u.x_ld);
      inside |= 1u << b;
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * kStride;
      if (i < kCount)
        cuda::store4(shared, (Tile::row_offset(i / Tile::kSpan) + i % Tile::kSpan) * kGroup + lane,
                     inside >> b & 1 ? t(image.bf16 ? cuda::unpack_bf16(x[b]) : x[b]) : x[b]);
    }
  }
}

/// y without a depthwise half: the pixels of t(x) that the stride meets, 0 outside the image.
template <class S>
__device__ __forceinline__ void stage_points(S shared, const SeparableGradArgs& u, const WeightPlace& place,
                                             const WeightLayout& at) {
  const int lane = static_cast<int>(threadIdx.x) % kQuads * 4, c = place.channel + lane;
  const bool present = c < u.channels;
  const GradLoadQuad t(u.load, present ? c : 0);
  const cuda::Stored image = u.x.from(int64_t{place.image} * u.height * u.width * u.x_ld + c);
#pragma unroll
  for (int p = static_cast<int>(threadIdx.x) / kQuads; p < kPixels; p += kThreads / kQuads) {
    const int h = place.row + p / kSide, w = place.column + p % kSide;
    float4 v = make_float4(0, 0, 0, 0);
    if (present && h < u.out_height && w < u.out_width)
      v = t(image.load4(((h * u.stride - u.pad) * u.width + w * u.stride - u.pad) * u.x_ld));
    cuda::store4(shared, at.y + p * kYPitch + lane, v);
  }
}

/// dz of the tile, 0 outside the image.
template <class S>
__device__ __forceinline__ void stage_norm_gradient(S shared, const SeparableGradArgs& u, const WeightPlace& place,
                                                    const WeightLayout& at) {
  const int quads = u.k / 4, pitch = depth_pitch(u.k);
  const int64_t image = int64_t{place.image} * u.out_height * u.out_width;
#pragma unroll 2
  for (int i = static_cast<int>(threadIdx.x); i < kPixels * quads; i += kThreads) {
    const int p = i / quads, k = i % quads * 4, h = place.row + p / kSide, w = place.column + p % kSide;
    float4 v = make_float4(0, 0, 0, 0);
    if (h < u.out_height && w < u.out_width) {
      const int64_t pixel = image + h * u.out_width + w;
      const float4 dy = u.dy.load4(pixel * u.dy_ld + k), z = u.z.load4(pixel * u.z_ld + k);
      const float factor = u.factor_of(place.image);  // here, for a register less outside
      const float4 mean = cuda::load4(shared, at.factors + u.k + k);
      const float4 d = make_float4(z.x - mean.x, z.y - mean.y, z.z - mean.z, z.w - mean.w);
      v = cuda::fma4(cuda::fma4(cuda::load4(shared, at.factors + 3 * u.k + k), d,
                                cuda::load4(shared, at.factors + 2 * u.k + k)),
                     make_float4(factor * dy.x, factor * dy.y, factor * dy.z, factor * dy.w),
                     cuda::load4(shared, at.factors + k));
    }
    cuda::store4(shared, at.dz + p * pitch + k, v);
  }
}

/// dY of the tile in the place of y: a warp computes 16 pixels.
template <bool kTf32, class S>
__device__ __forceinline__ void stage_back(S shared, const SeparableGradArgs& u, int channel,
                                           const WeightLayout& at) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, pitch = depth_pitch(u.k);
  const int p = static_cast<int>(threadIdx.x) / kWarp * 16 + lane / 4;
  float4 sum[1][2] = {{make_float4(0, 0, 0, 0), make_float4(0, 0, 0, 0)}};
  multiply_back<kTf32, 1>(shared, at.dz + p * pitch, pitch, u, channel, 0, u.k, sum);
#pragma unroll
  for (int i = 0; i < 2; ++i) cuda::store4(shared, at.y + (p + 8 * i) * kYPitch + lane % 4 * 4, sum[0][i]);
}

__device__ __forceinline__ float2 fma2(float2 a, float2 b, float2 c) {
  return make_float2(fmaf(b.x, c.x, a.x), fmaf(b.y, c.y, a.y));
}

/// taps += dY t(x) for the thread's strip and 2 channels; y of the strip takes the place of dY.
template <class Tile, class S>
__device__ __forceinline__ void slide(S shared, const SeparableGradArgs& u, int c, const WeightLayout& at,
                                      float2 (&taps)[Tile::kKernel][Tile::kKernel]) {
  constexpr int kWidth = (kColumns - 1) * Tile::kStep + (Tile::kKernel - 1) * Tile::kDilation + 1;
  const int pair = static_cast<int>(threadIdx.x) % kPairs, strip = static_cast<int>(threadIdx.x) / kPairs;
  const int row = strip % kSide, column = strip / kSide * kColumns;
  const int base = (Tile::row_offset(row * Tile::kStep) + column * Tile::kStep) * kGroup + 2 * pair;
  const int y_at = at.y + (row * kSide + column) * kYPitch + 2 * pair;
  float2 dy[kColumns], y[kColumns];
#pragma unroll
  for (int p = 0; p < kColumns; ++p) {
    dy[p] = cuda::load2(shared, y_at + p * kYPitch);
    y[p] = make_float2(0, 0);
  }
#pragma unroll
  for (int r = 0; r < Tile::kKernel; ++r) {
    float2 x[kWidth];
#pragma unroll
    for (int q = 0; q < kWidth; ++q)
      x[q] = cuda::load2(shared, base + (Tile::row_offset(r * Tile::kDilation) + q) * kGroup);
#pragma unroll
    for (int s = 0; s < Tile::kKernel; ++s) {
      const float2 w = *reinterpret_cast<const float2*>(u.w_dw + (r * Tile::kKernel + s) * u.channels + c);
#pragma unroll
      for (int p = 0; p < kColumns; ++p) {
        const float2 v = x[p * Tile::kStep + s * Tile::kDilation];
        taps[r][s] = fma2(taps[r][s], dy[p], v);
        y[p] = fma2(y[p], w, v);
      }
    }
  }
#pragma unroll
  for (int p = 0; p < kColumns; ++p) cuda::store2(shared, y_at + p * kYPitch, y[p]);
}

/// The block's sums of dw_dw [tap][channel], from those of its threads, to `to`.
template <int kTaps, class S>
__device__ __forceinline__ void write_taps(S shared, float2* taps, float* to) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
#pragma unroll
  for (int t = 0; t < kTaps; ++t) {
#pragma unroll
    for (int offset = kPairs; offset < kWarp; offset *= 2) {
      taps[t].x += __shfl_xor_sync(0xFFFFFFFFu, taps[t].x, offset);
      taps[t].y += __shfl_xor_sync(0xFFFFFFFFu, taps[t].y, offset);
    }
    if (lane < kPairs) cuda::store2(shared, (thread / kWarp * kTaps + t) * kGroup + 2 * lane, taps[t]);
  }
  __syncthreads();
  for (int i = thread; i < kTaps * kGroup; i += kThreads) {
    float sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += shared[warp * kTaps * kGroup + i];
    to[i] = sum;
  }
  __syncthreads();
}

}  // namespace
}  // namespace mixop::kernels
