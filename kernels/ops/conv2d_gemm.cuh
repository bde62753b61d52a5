// conv2d and its data gradient as one product: out[pixel, k] = sum over (tap, channel c) of
// in[pixel as the tap shows it, c] * w[tap, c, k]; the gathered pixels are never stored.
#pragma once

#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/shared.cuh"
#include "kernels/ops/conv2d_gather.cuh"

namespace mixop::kernels {
namespace {

constexpr int kGemmThreads = 128;
constexpr int kMaxPhases = 4;  // of an axis: the data gradient has one for each position modulo the stride

/// Operands of a product. Channels are those of one group. A "wide" operand is read 4 channels at a time.
struct GemmConv {
  const float *in, *w, *mask;  ///< mask: null, or x0 of the data gradient
  float* out;
  int64_t in_ld, out_ld, mask_ld;
  int images, in_channels, out_channels, out_tiles;
  int cg, kg, w_ld, kernel_width;  ///< w is [kernel height, kernel_width, cg, w_ld], kg columns for each group
  bool dgrad, add, in_wide, w_wide, out_wide;
  cuda::DeviceLoader t;                              ///< of in, or of mask
  int across;                                        ///< phases along the width
  cuda::TapAxis rows[kMaxPhases], cols[kMaxPhases];  ///< by phase
};

__device__ __forceinline__ void transpose4(float4 (&m)[4]) {
  const float4 a = m[0], b = m[1], c = m[2], d = m[3];
  m[0] = {a.x, b.x, c.x, d.x}, m[1] = {a.y, b.y, c.y, d.y};
  m[2] = {a.z, b.z, c.z, d.z}, m[3] = {a.w, b.w, c.w, d.w};
}

/// The product for phase blockIdx.z. A block owns kGemmThreads / kOutQuads * kPixels pixels and 4 * kOutQuads
/// channels, a thread kPixels pixels and 4 channels of them. Chunks of kDepth (tap, channel) pairs go through
/// shared memory while registers load the next one.
template <int kOutQuads, int kPixels, int kDepth>
__global__ void __launch_bounds__(kGemmThreads) conv2d_gemm_kernel(GemmConv p) {
  cuda::wait_for_earlier();
  constexpr int kLanes = kGemmThreads / kOutQuads, kTile = kLanes * kPixels, kOut = 4 * kOutQuads;
  constexpr int kQuads = kDepth / 4, kPitch = kDepth + 4;  // 4 more: pixels of a warp lie in different banks
  constexpr int kRows = kGemmThreads / kQuads, kLoads = kTile / kRows;
  static_assert(kQuads * kOutQuads <= kGemmThreads);
  MIXOP_SHARED(float, a, (kTile * kPitch));
  MIXOP_SHARED(float, b, (kDepth * kOut));
  MIXOP_SHARED(int, top, kTile);  // row and column of the input at tap 0; past the last pixel far outside
  MIXOP_SHARED(int, left, kTile);
  MIXOP_SHARED(int, image, kTile);   // first input pixel of its image
  MIXOP_SHARED(int, target, kTile);  // its number among all output pixels, or -1

  const cuda::TapAxis &rows = p.rows[blockIdx.z / p.across], &cols = p.cols[blockIdx.z % p.across];
  const int thread = static_cast<int>(threadIdx.x), begin = static_cast<int>(blockIdx.x) * kTile;
  const int pixels = p.images * rows.count * cols.count, taps = rows.taps * cols.taps;
  if (begin >= pixels || (taps == 0 && p.add)) return;

  for (int i = thread; i < kTile; i += kGemmThreads) {
    const int at = begin + i, row = at / cols.count, x = at % cols.count, y = row % rows.count;
    const int n = row / rows.count;
    top[i] = at < pixels ? y * rows.in_step + rows.offset : -(1 << 30);
    left[i] = x * cols.in_step + cols.offset;
    image[i] = n * rows.in * cols.in;
    const int out_y = rows.first + y * rows.out_step, out_x = cols.first + x * cols.out_step;
    target[i] = at < pixels ? (n * rows.out + out_y) * cols.out + out_x : -1;
  }
  __syncthreads();

  const int group = static_cast<int>(blockIdx.y) / p.out_tiles;
  const int tap_quads = (p.in_channels + 3) / 4, depth = taps * tap_quads;
  const int out_quad = thread % kOutQuads, lane = thread / kOutQuads;
  const int out_channel = static_cast<int>(blockIdx.y) % p.out_tiles * kOut + 4 * out_quad;

  // Of each chunk a thread loads one quad of kLoads pixels and a block of 4 x 4 weights.
  const int load_quad = thread % kQuads, load_row = thread / kQuads;
  const bool loads_weights = thread < kQuads * kOutQuads;
  float4 values[kLoads], weights[4];
  unsigned inside = 0;  // a bit for each of values: padding applies after the transform
  cuda::QuadTransform t;

  const auto fetch_values = [&](int quad) {
    const int tap = quad / tap_quads, c = quad % tap_quads * 4, n = quad < depth ? p.in_channels - c : 0;
    const int down = tap / cols.taps * rows.offset_step, right = tap % cols.taps * cols.offset_step;
    const float* const channels = p.in + group * p.in_channels + c;
    inside = 0;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int at = load_row + i * kRows, y = top[at] + down, x = left[at] + right;
      const bool there = n > 0 && y >= 0 && y < rows.in && x >= 0 && x < cols.in;
      const int64_t pixel = there ? image[at] + y * cols.in + x : 0;
      values[i] = cuda::load_some(channels + pixel * p.in_ld, there ? n : 0, p.in_wide);
      inside |= static_cast<unsigned>(there) << i;
    }
    if (!p.dgrad) t = cuda::quad_transform(p.t, group * p.in_channels + c, n);
  };
  const auto fetch_weights = [&](int quad) {
    const int tap = quad / tap_quads, in_channel = quad % tap_quads * 4;
    const int r = rows.filter + tap / cols.taps * rows.filter_step;
    const int s = cols.filter + tap % cols.taps * cols.filter_step;
    const int c = p.dgrad ? out_channel : in_channel, k = p.dgrad ? in_channel : out_channel;
    const int64_t row = int64_t{r * p.kernel_width + s} * p.cg + c;
    const float* const from = p.w + row * p.w_ld + group * p.kg + k;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      weights[i] =
          cuda::load_some(from + int64_t{i} * p.w_ld, quad < depth && c + i < p.cg ? p.kg - k : 0, p.w_wide);
  };
  const auto fetch = [&](int quad) {
    fetch_values(quad + load_quad);
    if (loads_weights) fetch_weights(quad + lane);
  };
  const auto store = [&] {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const float4 value = inside >> i & 1 ? t(values[i], !p.dgrad && p.t.relu) : float4{0, 0, 0, 0};
      cuda::write4(a, (load_row + i * kRows) * kPitch + 4 * load_quad, value);
    }
    if (!loads_weights) return;
    if (p.dgrad) transpose4(weights);
#pragma unroll
    for (int i = 0; i < 4; ++i) cuda::write4(b, (4 * lane + i) * kOut + 4 * out_quad, weights[i]);
  };

  float4 sum[kPixels] = {};
  if (depth > 0) fetch(0);
  for (int quad = 0; quad < depth; quad += kQuads) {
    store();
    __syncthreads();
    if (quad + kQuads < depth) fetch(quad + kQuads);
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      float4 x[kPixels];
#pragma unroll
      for (int i = 0; i < kPixels; ++i) x[i] = cuda::read4(a, (lane + i * kLanes) * kPitch + 4 * q);
      const auto multiply = [&](int d, auto component) {
        const float4 w = cuda::read4(b, (4 * q + d) * kOut + 4 * out_quad);
#pragma unroll
        for (int i = 0; i < kPixels; ++i) sum[i] = cuda::fma4(sum[i], w, component(x[i]));
      };
      multiply(0, [](float4 v) { return v.x; });
      multiply(1, [](float4 v) { return v.y; });
      multiply(2, [](float4 v) { return v.z; });
      multiply(3, [](float4 v) { return v.w; });
    }
    __syncthreads();
  }

  const int n = p.out_channels - out_channel, channel = group * p.out_channels + out_channel;
  if (n <= 0) return;
  if (p.mask) t = cuda::quad_transform(p.t, channel, n);
#pragma unroll
  for (int i = 0; i < kPixels; ++i) {
    const int64_t pixel = target[lane + i * kLanes];
    if (pixel < 0) continue;
    float* const to = p.out + pixel * p.out_ld + channel;
    if (p.mask) {
      const float4 x0 = t(cuda::load_some(p.mask + pixel * p.mask_ld + channel, n, p.out_wide), false);
      sum[i] = {x0.x <= 0 ? 0 : sum[i].x, x0.y <= 0 ? 0 : sum[i].y, x0.z <= 0 ? 0 : sum[i].z,
                x0.w <= 0 ? 0 : sum[i].w};
    }
    if (p.add) sum[i] = cuda::add4(sum[i], cuda::load_some(to, n, p.out_wide));
    cuda::store_some(to, sum[i], n, p.out_wide);
  }
}

}  // namespace
}  // namespace mixop::kernels
