// The weight gradient as a product that runs over pixels: dw[tap, c, k] = sum over output pixels of
// t(x[pixel as the tap shows it, c]) * dy[pixel, k]. Pixels are split over blocks, each with its partial sums; the
// block of a tile that comes last adds them up in their order.
#pragma once

#include "kernels/core/cuda/merge.cuh"
#include "kernels/ops/conv2d_gather.cuh"

namespace mixop::kernels {
namespace {

constexpr int kWgradThreads = 256;

/// Pixels in shared memory at a time: enough that a thread has four loads of 16 bytes under way.
constexpr int wgrad_step(int row_quads, int out_quads) { return row_quads + out_quads > 8 ? 64 : 128; }

/// Operands of the product. A "wide" operand is accessed 4 channels at a time.
struct GemmWgrad {
  const float *x, *dy;
  float *out, *partials;  ///< dw, and [tile][split][row][cell][4 outputs] when there is more than one split
  unsigned* tickets;
  cuda::MergeTree splits;
  int64_t x_ld, dy_ld;
  int cg, kg, k, out_tiles, row_tiles;
  int pixels, pixels_per_split;
  bool same_pixels;  ///< 1x1, stride 1, no padding
  bool add, x_wide, dy_wide, out_wide;
  cuda::DeviceLoader t;
  cuda::TapAxis rows, cols;
};

/// Split blockIdx.y of the product. A block owns 4 * kRowQuads (tap, channel) rows and 4 * kOutQuads outputs; a
/// thread 4 x 4 of them for every kTeams-th pixel. Sums are kept for each step and then added up.
template <int kRowQuads, int kOutQuads>
__global__ void __launch_bounds__(kWgradThreads) conv2d_wgrad_gemm_kernel(GemmWgrad p) {
  cuda::wait_for_earlier();
  constexpr int kCells = kRowQuads * kOutQuads, kTeams = kWgradThreads / kCells;
  constexpr int kStep = wgrad_step(kRowQuads, kOutQuads);
  constexpr int kRow = 4 * kRowQuads, kOut = 4 * kOutQuads, kDy = kStep * kRow;  // dy lies behind x
  constexpr int kXLoads = kStep * kRowQuads / kWgradThreads, kXRows = kWgradThreads / kRowQuads;
  constexpr int kDyLoads = kStep * kOutQuads / kWgradThreads, kDyRows = kWgradThreads / kOutQuads;
  constexpr int kMerge = kTeams > 1 ? kWgradThreads * 16 : 0, kStage = kStep * (kRow + kOut);
  MIXOP_SHARED(float, tile, kStage > kMerge ? kStage : kMerge);

  const int thread = static_cast<int>(threadIdx.x);
  const int out_tile = static_cast<int>(blockIdx.x) % p.out_tiles;
  const int row_tile = static_cast<int>(blockIdx.x) / p.out_tiles % p.row_tiles;
  const int group = static_cast<int>(blockIdx.x) / p.out_tiles / p.row_tiles;
  const int tap_quads = (p.cg + 3) / 4, depth = p.rows.taps * p.cols.taps * tap_quads;
  const int begin = static_cast<int>(blockIdx.y) * p.pixels_per_split;
  const int end = min(p.pixels, begin + p.pixels_per_split);

  // A thread loads one quad of every pixel that it loads, of x and of dy.
  const int x_quad = row_tile * kRowQuads + thread % kRowQuads, x_row = thread / kRowQuads;
  const int c = x_quad % tap_quads * 4, tap = x_quad / tap_quads, x_channels = x_quad < depth ? p.cg - c : 0;
  const int down = p.rows.offset + tap / p.cols.taps * p.rows.offset_step;
  const int right = p.cols.offset + tap % p.cols.taps * p.cols.offset_step;
  const int dy_row = thread / kOutQuads, dy_channel = 4 * (out_tile * kOutQuads + thread % kOutQuads);
  const float* const x_at = p.x + group * p.cg + c;
  const float* const dy_at = p.dy + group * p.kg + dy_channel;
  const cuda::QuadTransform t = cuda::quad_transform(p.t, group * p.cg + c, x_channels);
  float4 x[kXLoads], dy[kDyLoads];
  unsigned inside = 0;  // a bit for each of x: padding applies after the transform

  const auto fetch = [&](int first) {
    inside = 0;
#pragma unroll
    for (int i = 0; i < kXLoads; ++i) {
      const int at = first + x_row + i * kXRows;
      bool there = at < end && x_channels > 0;
      int64_t pixel = at;
      if (!p.same_pixels) {
        const int row = at / p.cols.count, n = row / p.rows.count;
        const int ih = row % p.rows.count * p.rows.in_step + down, iw = at % p.cols.count * p.cols.in_step + right;
        there = there && ih >= 0 && ih < p.rows.in && iw >= 0 && iw < p.cols.in;
        pixel = (n * p.rows.in + ih) * p.cols.in + iw;
      }
      x[i] = cuda::load_some(x_at + (there ? pixel : 0) * p.x_ld, there ? x_channels : 0, p.x_wide);
      inside |= static_cast<unsigned>(there) << i;
    }
#pragma unroll
    for (int i = 0; i < kDyLoads; ++i) {
      const int at = first + dy_row + i * kDyRows;
      dy[i] = cuda::load_some(dy_at + (at < end ? int64_t{at} : 0) * p.dy_ld, at < end ? p.kg - dy_channel : 0,
                              p.dy_wide);
    }
  };

  const int cell = thread % kCells, team = thread / kCells, out_quad = cell % kOutQuads,
            row_quad = cell / kOutQuads;
  float4 total[4] = {};
  fetch(begin);
  for (int first = begin; first < end; first += kStep) {
#pragma unroll
    for (int i = 0; i < kXLoads; ++i) {
      const float4 value = inside >> i & 1 ? t(x[i], p.t.relu) : float4{0, 0, 0, 0};
      cuda::write4(tile, (x_row + i * kXRows) * kRow + 4 * (thread % kRowQuads), value);
    }
#pragma unroll
    for (int i = 0; i < kDyLoads; ++i)
      cuda::write4(tile, kDy + (dy_row + i * kDyRows) * kOut + 4 * (thread % kOutQuads), dy[i]);
    __syncthreads();
    if (first + kStep < end) fetch(first + kStep);
    float4 sum[4] = {};
#pragma unroll 4
    for (int at = team; at < kStep; at += kTeams) {
      const float4 a = cuda::read4(tile, at * kRow + 4 * row_quad);
      const float4 b = cuda::read4(tile, kDy + at * kOut + 4 * out_quad);
      sum[0] = cuda::fma4(sum[0], b, a.x), sum[1] = cuda::fma4(sum[1], b, a.y);
      sum[2] = cuda::fma4(sum[2], b, a.z), sum[3] = cuda::fma4(sum[3], b, a.w);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) total[i] = cuda::add4(total[i], sum[i]);
    __syncthreads();
  }

  constexpr int kSize = 16 * kCells;
  float* const parts = p.partials + static_cast<int64_t>(blockIdx.x) * p.splits.parts * kSize;
  const bool alone = p.splits.parts == 1;
  // Where row `row` of a cell lies in dw, and how many of its 4 outputs there are.
  const auto place = [&](int at_cell, int row, int& n) {
    const int quad = row_tile * kRowQuads + at_cell / kOutQuads, ci = quad % tap_quads * 4 + row;
    const int ko = 4 * (out_tile * kOutQuads + at_cell % kOutQuads);
    n = quad < depth && ci < p.cg ? p.kg - ko : 0;
    return p.out + (int64_t{quad / tap_quads} * p.cg + ci) * p.k + group * p.kg + ko;
  };
  const auto put = [&](int at_cell, int row, float4 value) {
    if (!alone)
      return cuda::store4(parts + static_cast<int64_t>(blockIdx.y) * kSize + 4 * (row * kCells + at_cell), value);
    int n = 0;
    float* const to = place(at_cell, row, n);
    if (n <= 0) return;
    if (p.add) value = cuda::add4(value, cuda::load_some(to, n, p.out_wide));
    cuda::store_some(to, value, n, p.out_wide);
  };
  if constexpr (kTeams == 1) {
#pragma unroll
    for (int i = 0; i < 4; ++i) put(cell, i, total[i]);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) cuda::write4(tile, 4 * (team * kCells * 4 + i * kCells + cell), total[i]);
    __syncthreads();
    for (int i = thread; i < 4 * kCells; i += kWgradThreads) {
      float4 sum = cuda::read4(tile, 4 * i);
      for (int other = 1; other < kTeams; ++other)
        sum = cuda::add4(sum, cuda::read4(tile, 4 * (other * kCells * 4 + i)));
      put(i % kCells, i / kCells, sum);
    }
  }
  if (alone) return;
  cuda::merge_parts<kWgradThreads>(p.splits, cuda::Addition(), static_cast<int>(blockIdx.y), parts, kSize, kSize,
                                   p.tickets + blockIdx.x * p.splits.tickets(), [&](int i, double sum) {
                                     int n = 0;
                                     float* const to = place(i / 4 % kCells, i / 4 / kCells, n) + i % 4;
                                     if (i % 4 < n) *to = static_cast<float>(p.add ? *to + sum : sum);
                                   });
}

}  // namespace
}  // namespace mixop::kernels
