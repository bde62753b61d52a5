// The tiles of separable_grad's kernel for dx: dY of a unit into shared memory, and the window over it.
// Along each axis window element q of a cell (a pixel of dx, or 2 x 2 of them where the stride is 2) lies at tile
// position cell + kSpacing * q; position 0 is Tile::first() rows of dY from where the cells begin.
#pragma once

#include "kernels/ops/separable_grad_products.cuh"

namespace mixop::kernels {
namespace {

using cuda::kWarp;

constexpr int kDataThreads = 128, kDataWarps = kDataThreads / kWarp;
constexpr int kChunk = 16;  ///< pixels of dY that a warp computes at a time ..
constexpr int kDepth = 16,
              kDepthPitch = 20;  ///< .. and the channels of dz that it keeps for them; an odd number of quads
constexpr int kStripFloats = kDataWarps * kChunk * kDepthPitch;

/// kCells x kCells cells and kGroup channels, of which a thread owns a strip of kRows x kColumns with 4 channels.
template <int kStride_, int kCells_, int kGroup_>
struct DataShape {
  static constexpr int kStride = kStride_, kCells = kCells_, kPixels = kCells * kStride;
  static constexpr int kGroup = kGroup_, kQuads = kGroup / 4, kSixteens = kGroup / 16;
  static constexpr int kRows = kStride == 1 && kCells == 16 ? 2 : 1, kColumns = kStride == 1 ? 4 : 2;
  static_assert(kCells / kRows * (kCells / kColumns) * kQuads == kDataThreads);
};

/// Where the thread's strip begins; its cells are kSpacing apart.
template <class Shape, int kSpacing>
struct DataStrip {
  int row, column;
  __device__ DataStrip() {
    constexpr int kSide = Shape::kCells / kSpacing, kStripRows = kSide / Shape::kRows;
    constexpr int kStripColumns = kSide / Shape::kColumns;
    int i = static_cast<int>(threadIdx.x) / Shape::kQuads;
    const int column_class = i % kSpacing;
    i /= kSpacing;
    row = i % kStripRows * Shape::kRows * kSpacing + i / kStripRows / kStripColumns;
    column = i / kStripRows % kStripColumns * Shape::kColumns * kSpacing + column_class;
  }
};

/// kKernel 1: no depthwise half.
template <class Shape_, int kKernel_, int kDilation_>
struct DataTile : Shape_ {
  using Shape_::kCells, Shape_::kRows, Shape_::kStride, Shape_::kGroup;
  static constexpr int kKernel = kKernel_, kDilation = kDilation_;
  static constexpr bool kPaired = kStride == 2;
  // Stride 2: the outputs 2a and 2a + 1 of cell a read dY at a + floor(pad / 2) + kFirst + q, from 2 oh = ih + pad
  // - r * dilation with the parity of a padding that keeps the extent. Without a depthwise half the one of them
  // whose parity is that of the padding reads dY at a + ceil(pad / 2).
  static constexpr int kOdd = kKernel / 2 * kDilation % 2;
  static constexpr int kFirst = kPaired ? -(((kKernel - 1) * kDilation - kOdd) / 2) : -(kKernel - 1) * kDilation;
  static constexpr int kSize = kPaired ? (1 + kOdd) / 2 - kFirst + 1 : kKernel;
  static constexpr int kSpacing = kPaired ? 1 : kDilation;
  /// The filter element that meets window element q for output `phase` of a cell; -1: none.
  static constexpr int filter(int phase, int q) {
    if (!kPaired) return kKernel - 1 - q;
    const int at = phase + kOdd - 2 * (kFirst + q);
    return at >= 0 && at % kDilation == 0 && at / kDilation < kKernel ? at / kDilation : -1;
  }
  __device__ static int first(int pad) {
    if (!kPaired) return pad + kFirst;
    return kKernel == 1 ? (pad + (pad & 1)) / 2 : (pad - (pad & 1)) / 2 + kFirst;
  }

  // Of 16 channels two strips are read in one access and must begin an odd number of pixels, that is of half bank
  // rows, apart: they lie one below the other, with one pixel more after the rows of each, or in neighbouring
  // classes modulo the dilation.
  static constexpr int kSpan = kCells + kSpacing * (kSize - 1), kPitch = kSpan + kSpan % 2;
  static constexpr int row_offset(int row) { return row * kPitch + (kSpacing == 1 ? row / kRows : 0); }
  static constexpr int kFloats = (row_offset(kSpan - 1) + kPitch) * kGroup;
};

/// Calls f.template operator()<Tile>() with that of the unit; one of its dilations is that of `kDilation`.
template <class Shape, int kDilation, class F>
__host__ __device__ __forceinline__ void with_data_tile(const SeparableGradArgs& u, F&& f) {
  if (u.kernel == 5) f.template operator()<DataTile<Shape, 5, kDilation>>();
  else if (u.kernel == 3) f.template operator()<DataTile<Shape, 3, kDilation>>();
  else if constexpr (kDilation == 1) f.template operator()<DataTile<Shape, 1, 1>>();
}

/// What a block computes.
struct DataPlace {
  int64_t image;
  int row, column, channel;  ///< the first pixel of dx and channel
};

/// What a thread sums up: of cell (i, p) of its strip the outputs of phases (e, f) are [i][e][p * stride + f].
template <class Shape>
using DataSums = float4[Shape::kRows][Shape::kStride][Shape::kColumns * Shape::kStride];

/// dY of the tile from row `top` and column `left` of dY on, 0 outside the image. A warp takes kChunk pixels at a
/// time: a lane evaluates 4 channels of dz of 2 pixels, and then 4 (or 2 x 4) channels of dY of them.
template <class Tile, bool kTf32, class S>
__device__ __forceinline__ void stage_gradient(S shared, const SeparableGradArgs& u, const DataPlace& place,
                                               int top, int left, int strips_at) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int quad = lane % 4, first_pixel = lane / 4;
  const int row_begin = max(0, -top), row_end = min(Tile::kSpan, u.out_height - top);
  const int column_begin = max(0, -left), columns = min(Tile::kSpan, u.out_width - left) - column_begin;
  const int pixels = columns > 0 ? (row_end - row_begin) * columns : 0;
  const float of_image = u.factor_of(place.image);
  const int factors_at = strips_at + kStripFloats;
  const int dz_at = strips_at + (warp * kChunk + first_pixel) * kDepthPitch;  // of the lane's first pixel
  for (int k = thread; k < u.k; k += kDataThreads) {
    const NormGradient dz(u, k);
    shared[factors_at + k] = dz.dy_factor * of_image;
    shared[factors_at + u.k + k] = dz.mean;
    shared[factors_at + 2 * u.k + k] = dz.z_factor;
    shared[factors_at + 3 * u.k + k] = dz.constant;
  }
  if (pixels < Tile::kSpan * Tile::kSpan)
    for (int i = 4 * thread; i < Tile::kFloats; i += 4 * kDataThreads)
      cuda::store4(shared, i, make_float4(0, 0, 0, 0));
  __syncthreads();

  const int64_t image = place.image * u.out_height * u.out_width;
  const cuda::Stored dys = u.dy.from(image * u.dy_ld), zs = u.z.from(image * u.z_ld);
  for (int chunk = warp * kChunk; chunk < pixels; chunk += kDataWarps * kChunk) {
    int from[2], to[2];  // pixels of dY and of the tile; -1: none
    float4 sum[Tile::kSixteens][2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int p = chunk + first_pixel + 8 * i, row = row_begin + p / columns, column = column_begin + p % columns;
      from[i] = p < pixels ? (top + row) * u.out_width + left + column : -1;
      to[i] = Tile::row_offset(row) + column;
#pragma unroll
      for (int h = 0; h < Tile::kSixteens; ++h) sum[h][i] = make_float4(0, 0, 0, 0);
    }
    for (int k0 = 0; k0 < u.k; k0 += kDepth) {
      const int k = k0 + 4 * quad;
      if (k < u.k) {
        const float4 dy_factor = cuda::load4(shared, factors_at + k);
        const float4 mean = cuda::load4(shared, factors_at + u.k + k);
        const float4 z_factor = cuda::load4(shared, factors_at + 2 * u.k + k);
        const float4 constant = cuda::load4(shared, factors_at + 3 * u.k + k);
        float4 raw_z[2], raw_dy[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const bool present = from[i] >= 0;
          raw_z[i] = present ? zs.raw4(from[i] * u.z_ld + k) : make_float4(0, 0, 0, 0);
          raw_dy[i] = present ? dys.raw4(from[i] * u.dy_ld + k) : make_float4(0, 0, 0, 0);
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const float4 z = zs.bf16 ? cuda::unpack_bf16(raw_z[i]) : raw_z[i];
          const float4 dy = dys.bf16 ? cuda::unpack_bf16(raw_dy[i]) : raw_dy[i];
          const float4 d = make_float4(z.x - mean.x, z.y - mean.y, z.z - mean.z, z.w - mean.w);
          cuda::store4(shared, dz_at + 8 * i * kDepthPitch + 4 * quad,
                       cuda::fma4(cuda::fma4(constant, d, z_factor), dy, dy_factor));
        }
      }
      __syncwarp();
      multiply_back<kTf32, Tile::kSixteens>(shared, dz_at, kDepthPitch, u, place.channel, k0, min(kDepth, u.k - k0),
                                            sum);
      __syncwarp();
    }
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int h = 0; h < Tile::kSixteens; ++h)
        if (from[i] >= 0) cuda::store4(shared, to[i] * Tile::kGroup + 16 * h + 4 * quad, sum[h][i]);
  }
  __syncthreads();
}

/// The filter of the block's channels, 0 beyond the last.
template <class Tile, class S>
__device__ __forceinline__ void stage_filter(S shared, const SeparableGradArgs& u, int channel, int filter_at) {
  for (int i = 4 * static_cast<int>(threadIdx.x); i < Tile::kKernel * Tile::kKernel * Tile::kGroup;
       i += 4 * kDataThreads) {
    const int c = channel + i % Tile::kGroup;
    cuda::store4(
        shared, filter_at + i,
        c < u.channels ? cuda::load4(u.w_dw + i / Tile::kGroup * u.channels + c) : make_float4(0, 0, 0, 0));
  }
  __syncthreads();
}

/// sum += the window of each cell times the filter.
template <class Tile, class S>
__device__ __forceinline__ void gather_strip(S shared, int base, int filter_at, DataSums<Tile>& sum) {
  constexpr int kPhases = Tile::kStride;
#pragma unroll
  for (int j = 0; j < Tile::kRows + Tile::kSize - 1; ++j) {
    float4 x[Tile::kColumns + Tile::kSize - 1];
#pragma unroll
    for (int q = 0; q < Tile::kColumns + Tile::kSize - 1; ++q)
      x[q] = cuda::load4(shared, base + (Tile::row_offset(j * Tile::kSpacing) + q * Tile::kSpacing) * Tile::kGroup);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
      for (int e = 0; e < kPhases; ++e) {
        if (j < i || j - i >= Tile::kSize || Tile::filter(e, j - i) < 0) continue;
#pragma unroll
        for (int q = 0; q < Tile::kSize; ++q) {
#pragma unroll
          for (int f = 0; f < kPhases; ++f) {
            if (Tile::filter(f, q) < 0) continue;
            const int tap = Tile::filter(e, j - i) * Tile::kKernel + Tile::filter(f, q);
            const float4 w = cuda::load4(shared, filter_at + tap * Tile::kGroup);
#pragma unroll
            for (int p = 0; p < Tile::kColumns; ++p)
              sum[i][e][p * kPhases + f] = cuda::fma4(sum[i][e][p * kPhases + f], x[p + q], w);
          }
        }
      }
    }
  }
}

/// sum += dY where the stride meets a pixel: without a depthwise half.
template <class Tile, class S>
__device__ __forceinline__ void gather_points(S shared, int base, int pad, DataSums<Tile>& sum) {
  const int phase = Tile::kPaired ? pad & 1 : 0;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i)
#pragma unroll
    for (int p = 0; p < Tile::kColumns; ++p) {
      const float4 v = cuda::load4(shared, base + (Tile::row_offset(i) + p) * Tile::kGroup);
#pragma unroll
      for (int e = 0; e < Tile::kStride; ++e) {
        float4& to = sum[i][e][p * Tile::kStride + e];
        if (e == phase) to = cuda::add4(to, v);
      }
    }
}

/// sum += what the unit contributes to the strip.
template <class Tile, bool kTf32, class S>
__device__ __forceinline__ void add_unit(S shared, const SeparableGradArgs& u, const DataPlace& place,
                                         int strips_at, DataSums<Tile>& sum) {
  const int first = Tile::first(u.pad), quad = static_cast<int>(threadIdx.x) % Tile::kQuads;
  stage_gradient<Tile, kTf32>(shared, u, place, place.row / Tile::kStride + first,
                              place.column / Tile::kStride + first, strips_at);
  const DataStrip<Tile, Tile::kSpacing> strip;
  const int base = (Tile::row_offset(strip.row) + strip.column) * Tile::kGroup + 4 * quad;
  if constexpr (Tile::kKernel == 1) {
    gather_points<Tile>(shared, base, u.pad, sum);
  } else {
    stage_filter<Tile>(shared, u, place.channel, strips_at);
    gather_strip<Tile>(shared, base, strips_at + 4 * quad, sum);
  }
  __syncthreads();  // the tile has been read
}

/// What has been summed up in strips of spacing 2 goes to the threads with those of spacing 1.
template <class Shape, class S>
__device__ __forceinline__ void undilate(S shared, DataSums<Shape>& sum) {
  const DataStrip<Shape, 2> from;
  const DataStrip<Shape, 1> to;
  const int lane = static_cast<int>(threadIdx.x) % Shape::kQuads * 4;
  const auto at = [&](int row, int column) { return (row * Shape::kCells + column) * Shape::kGroup + lane; };
#pragma unroll
  for (int i = 0; i < Shape::kRows; ++i)
#pragma unroll
    for (int p = 0; p < Shape::kColumns; ++p)
      cuda::store4(shared, at(from.row + 2 * i, from.column + 2 * p), sum[i][0][p]);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < Shape::kRows; ++i)
#pragma unroll
    for (int p = 0; p < Shape::kColumns; ++p) sum[i][0][p] = cuda::load4(shared, at(to.row + i, to.column + p));
  __syncthreads();
}

}  // namespace
}  // namespace mixop::kernels
