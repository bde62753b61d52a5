// The depthwise half of the fused forward kernel: tiles, how they are copied into shared memory and what a thread
// computes of them. Along each axis
//   window element q of cell o (an output pixel) lies at tile position kStep * o + kDilation * q,
//   which is input position first + input_step * position.
//
// A thread computes kRows x kColumns neighbouring cells of 2 channels with all taps of its filter in registers: 8 x
// 4 cells of a large tile read 12 x 8 pixels of 8 bytes for 1,600 multiply-adds of a 5x5 window, a third of what
// shared memory delivers meanwhile. With 4 channels a thread the 25 taps alone would take 100 registers beside 64
// or more sums, or be read again for every row of the window, and shared memory would be what limits.
#pragma once

#include "kernels/core/cuda/loader.cuh"
#include "kernels/core/cuda/shared.cuh"
#include "kernels/core/cuda/vec.cuh"
#include "kernels/ops/separable_forward_units.cuh"

namespace mixop::kernels {
namespace {

/// Cells whose positions agree modulo the dilation form a class, which is stored as an image of its own: within a
/// class there is no dilation. Pixels are stored as kGroup channels.
template <int kKernel_, int kStep_, int kDilation_, int kCells_, int kRows_, int kColumns_>
struct SeparableTile {
  static constexpr int kKernel = kKernel_, kStep = kStep_, kDilation = kDilation_, kTaps = kKernel * kKernel;
  static constexpr int kCells = kCells_, kRows = kRows_, kColumns = kColumns_;
  static constexpr int kSide = kCells / kDilation;  ///< cells of a class along an axis
  static constexpr int kStripRows = kSide / kRows, kStripColumns = kSide / kColumns;
  static constexpr int kStrips = kDilation * kDilation * kStripRows * kStripColumns;
  /// Input positions of a class, of the tile and of a strip.
  static constexpr int kInside = (kSide - 1) * kStep + kKernel;
  static constexpr int kSpan = kInside * kDilation;
  static constexpr int kRowsIn = (kRows - 1) * kStep + kKernel, kColumnsIn = (kColumns - 1) * kStep + kKernel;
  // Two strips are read in one access and must begin an odd number of pixels, that is of half bank rows, apart:
  // they lie one below the other or in neighbouring classes. Hence the even pitch with one pixel more after the
  // rows of a strip, and the odd size of a class.
  static constexpr int kPitch = kInside + kInside % 2;
  static constexpr int kGap = kStripRows > 1 ? kRows* kStep : kInside;
  static constexpr int row_offset(int row) { return row * kPitch + row / kGap; }
  static constexpr int kClassPixels = (row_offset(kInside - 1) + kInside) | 1;
  static constexpr int kPixels = kDilation * kDilation * kClassPixels;
  static_assert(kStripRows == (kDilation == 1 ? 2 : 1) && (kStrips == 4 || kStrips == 8));

  /// Where the pixel at this tile position is kept.
  __device__ static int at(int row, int column) {
    const int cls = row % kDilation * kDilation + column % kDilation;
    return cls * kClassPixels + row_offset(row / kDilation) + column / kDilation;
  }

  struct Strip {
    int row, column, row_class, column_class;
    /// Of number i. The columns are those of the neighbour flipped, so that also the results of two strips (a row
    /// of which takes an odd multiple of 4 banks) are written without meeting a bank twice.
    __device__ explicit Strip(int i) {
      const int bit = i % 2, rest = i / 2;
      column = rest % kStripColumns ^ bit * (4 / kColumns) % kStripColumns;
      row = kDilation == 1 ? bit : 0;
      column_class = kDilation == 1 ? 0 : bit;
      row_class = kDilation == 1 ? 0 : rest / kStripColumns;
    }
    /// Its first pixel in shared memory.
    __device__ int base() const {
      return (row_class * kDilation + column_class) * kClassPixels + row_offset(row * kRows * kStep) +
             column * kColumns * kStep;
    }
    /// The number of its first cell among the results, which are kept class by class along each axis.
    __device__ int cell() const {
      return (row_class * kSide + row * kRows) * kCells + column_class * kSide + column * kColumns;
    }
  };
};

/// Calls f.template operator()<Tile>() with the tile of a window; large tiles have 16 x 16 cells, others 8 x 8. A
/// stride that the dilation divides by reads every second position only, and then there is no dilation among these.
template <int kKernel, class F>
constexpr void with_separable_tile(int stride, int dilation, bool large, F&& f) {
  if (stride > dilation) f.template operator()<SeparableTile<kKernel, 2, 1, 8, 4, 2>>();
  else if (stride < dilation && large) f.template operator()<SeparableTile<kKernel, 1, 2, 16, 8, 4>>();
  else if (stride < dilation) f.template operator()<SeparableTile<kKernel, 1, 2, 8, 4, 4>>();
  else if (large) f.template operator()<SeparableTile<kKernel, 1, 1, 16, 8, 4>>();
  else f.template operator()<SeparableTile<kKernel, 1, 1, 8, 4, 4>>();
}
template <class F>
constexpr void with_separable_tile(int kernel, int stride, int dilation, bool large, F&& f) {
  if (kernel == 3) with_separable_tile<3>(stride, dilation, large, f);
  else with_separable_tile<5>(stride, dilation, large, f);
}

/// t of 4 neighbouring channels with its parameters in registers; parts that are off do nothing.
struct LoadQuad {
  float4 mean = make_float4(0, 0, 0, 0), scale = make_float4(1, 1, 1, 1), shift = make_float4(0, 0, 0, 0);
  bool norm, relu;

  __device__ __forceinline__ LoadQuad(const cuda::DeviceLoader& t, int c) : norm(t.mean), relu(t.relu) {
    if (!t.mean) return;
    mean = cuda::load4(t.mean + c);
    scale = cuda::load4(t.rstd + c);
    if (!t.gamma) return;
    const float4 gamma = cuda::load4(t.gamma + c);
    scale = make_float4(scale.x * gamma.x, scale.y * gamma.y, scale.z * gamma.z, scale.w * gamma.w);
    shift = cuda::load4(t.beta + c);
  }
  __device__ __forceinline__ float rectified(float x) const { return relu && x <= 0 ? 0.0f : x; }
  __device__ __forceinline__ float4 operator()(float4 x) const {
    if (norm)
      x = make_float4(fmaf(x.x - mean.x, scale.x, shift.x), fmaf(x.y - mean.y, scale.y, shift.y),
                      fmaf(x.z - mean.z, scale.z, shift.z), fmaf(x.w - mean.w, scale.w, shift.w));
    return make_float4(rectified(x.x), rectified(x.y), rectified(x.z), rectified(x.w));
  }
};

/// Of what raw4() has read, once all loads are under way.
template <int kCount>
__device__ __forceinline__ void unpack_quads(const cuda::Stored& x, float4 (&quads)[kCount]) {
  if (!x.bf16) return;
#pragma unroll
  for (float4& q : quads) q = cuda::unpack_bf16(q);
}

/// Fills pixels `to` and on with t(x) of what the tile at `place` reads, channels group * kGroup and on; 0 outside
/// the image and beyond the channels.
template <class Tile, class S>
__device__ __forceinline__ void stage_separable(S shared, int to, const SeparableForwardUnit& u,
                                                SeparablePlace place, int group) {
  constexpr int kQuads = kSeparableGroup / 4, kStride = kSeparableThreads / kQuads;
  constexpr int kPixels = Tile::kSpan * Tile::kSpan, kBatch = 8;
  const int lane = static_cast<int>(threadIdx.x) % kQuads * 4, c = group * kSeparableGroup + lane;
  const bool present = c < u.channels;
  const LoadQuad t(u.load, present ? c : 0);
  const cuda::Stored image = u.x.from(place.image * u.height * u.width * u.x_ld + c);
  const int step = u.input_step();
  const int first_row = step * Tile::kStep * place.row - u.pad,
            first_column = step * Tile::kStep * place.column - u.pad;
  const auto row = [&](int i) { return first_row + step * (i / Tile::kSpan); };
  const auto column = [&](int i) { return first_column + step * (i % Tile::kSpan); };
  const auto within = [](int i, int extent) { return static_cast<unsigned>(i) < static_cast<unsigned>(extent); };
  const auto inside = [&](int i) {
    return present && i < kPixels && within(row(i), u.height) && within(column(i), u.width);
  };
  // All loads of a batch come before its first store, so that a thread waits for memory once a batch.
#pragma unroll 1
  for (int first = static_cast<int>(threadIdx.x) / kQuads; first < kPixels; first += kBatch * kStride) {
    float4 v[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * kStride;
      v[b] = inside(i) ? image.raw4((row(i) * u.width + column(i)) * u.x_ld) : make_float4(0, 0, 0, 0);
    }
    unpack_quads(image, v);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * kStride;
      if (i >= kPixels) break;
      cuda::store4(shared, to + Tile::at(i / Tile::kSpan, i % Tile::kSpan) * kSeparableGroup + lane,
                   inside(i) ? t(v[b]) : make_float4(0, 0, 0, 0));
    }
  }
}

/// sum[i][p] = the window of cell (i, p) of a strip whose first pixel is at `base`, times the filter w.
template <class Tile, class S>
__device__ __forceinline__ void convolve_strip(S shared, int base, const float2 (&w)[Tile::kTaps],
                                               float2 (&sum)[Tile::kRows][Tile::kColumns]) {
#pragma unroll
  for (auto& row : sum)
#pragma unroll
    for (float2& v : row) v = make_float2(0, 0);
#pragma unroll
  for (int j = 0; j < Tile::kRowsIn; ++j) {
    float2 x[Tile::kColumnsIn];
#pragma unroll
    for (int q = 0; q < Tile::kColumnsIn; ++q)
      x[q] = cuda::load2(shared, base + (Tile::row_offset(j) + q) * kSeparableGroup);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      const int r = j - i * Tile::kStep;
      if (r < 0 || r >= Tile::kKernel) continue;
#pragma unroll
      for (int q = 0; q < Tile::kKernel; ++q)
#pragma unroll
        for (int p = 0; p < Tile::kColumns; ++p) {
          const float2 v = x[p * Tile::kStep + q], f = w[r * Tile::kKernel + q];
          sum[i][p] = make_float2(fmaf(v.x, f.x, sum[i][p].x), fmaf(v.y, f.y, sum[i][p].y));
        }
    }
  }
}

/// y of all cells at `place` and all channels, into shared memory from u.y_at on, separable_y_pitch() floats a
/// cell. The tile of x begins at 0; when one step serves all channels y may take its place. Ends without a barrier.
template <class Tile, class S>
__device__ __forceinline__ void depthwise_to_shared(S shared, const SeparableForwardUnit& u, SeparablePlace place) {
  constexpr int kPairs = kSeparableGroup / 2;
  const int pair = static_cast<int>(threadIdx.x) % kPairs,
            slot = static_cast<int>(threadIdx.x) / kPairs / Tile::kStrips;
  const typename Tile::Strip strip(static_cast<int>(threadIdx.x) / kPairs % Tile::kStrips);
  constexpr bool kLarge = Tile::kCells == 16;  // and then there is one group
  const int pitch = separable_y_pitch(kLarge, u.channels);
  const int groups = kLarge ? 1 : u.groups(), together = kLarge ? 1 : u.together;
  for (int first = 0; first < groups; first += together) {
    const int c = (first + slot) * kSeparableGroup + 2 * pair;
    const bool works = slot < together && c < u.channels;
    for (int s = 0; s < together && first + s < groups; ++s)
      stage_separable<Tile>(shared, s * Tile::kPixels * kSeparableGroup, u, place, first + s);
    float2 w[Tile::kTaps], sum[Tile::kRows][Tile::kColumns];
#pragma unroll
    for (int t = 0; t < Tile::kTaps; ++t) {
      const float* const from = u.w_dw + int64_t{t} * u.channels + c;
      w[t] = works ? *reinterpret_cast<const float2*>(from) : make_float2(0, 0);
    }
    __syncthreads();
    if (works)
      convolve_strip<Tile>(shared, (slot * Tile::kPixels + strip.base()) * kSeparableGroup + 2 * pair, w, sum);
    __syncthreads();
    if (!works) continue;
    const int to = u.y_at + strip.cell() * pitch + c;
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i)
#pragma unroll
      for (int p = 0; p < Tile::kColumns; ++p) cuda::store2(shared, to + (i * Tile::kCells + p) * pitch, sum[i][p]);
  }
}

}  // namespace
}  // namespace mixop::kernels
