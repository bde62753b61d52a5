// dw_dw and dw_pw of a unit from one pass over its output pixels: dz on load, dY = dz w_pw^T, and then, as the
// window slides over t(x) in shared memory, y again and dw_dw at the same time; at last dw_pw = y^T dz.
//   traffic     reads dy, z and x once a 16 channels of x (the halo of x comes from the L2 cache), writes next to
//   nothing;
//               the composite reads 8 T and writes 1 T
// Blocks keep their sums over many tiles of 8 x 8 pixels in registers, a partial each.
#include <algorithm>

#include "kernels/core/cuda/reduce.cuh"
#include "kernels/ops/separable_grad_units.cuh"

namespace mixop::kernels {
namespace {

using cuda::kWarp;

constexpr int kThreads = 128, kWarps = kThreads / kWarp;
constexpr int kGroup = 16, kQuads = kGroup / 4, kPairs = kGroup / 2;  ///< channels of a block
constexpr int kSide = 8, kPixels = kSide * kSide;                     ///< of a tile
constexpr int kColumns = 4;                                           ///< of a thread, in one row, with 2 channels
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

/// Calls f.template operator()<Tile>() with that of the unit. A stride that the dilation divides by reads every
/// second position only, and then there is no dilation among these.
template <int kKernel, class F>
__host__ __device__ __forceinline__ void with_input_tile(const SeparableGradArgs& u, F&& f) {
  if (u.stride > u.dilation) f.template operator()<InputTile<kKernel, 2, 1>>();
  else if (u.stride < u.dilation) f.template operator()<InputTile<kKernel, 1, 2>>();
  else f.template operator()<InputTile<kKernel, 1, 1>>();
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
  int64_t image;
  int row, column, channel;  ///< the first pixel of z and channel of x
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
  const float* const image = u.x + place.image * u.height * u.width * u.x_ld + c;
  for (int first = static_cast<int>(threadIdx.x) / kQuads; first < kCount; first += kBatch * kStride) {
    float4 x[kBatch];
    unsigned inside = 0;
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * kStride, h = top + i / Tile::kSpan * step, w = left + i % Tile::kSpan * step;
      x[b] = make_float4(0, 0, 0, 0);
      if (!present || i >= kCount || h < 0 || h >= u.height || w < 0 || w >= u.width) continue;
      x[b] = cuda::load4(image + (h * u.width + w) * u.x_ld);
      inside |= 1u << b;
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * kStride;
      if (i < kCount)
        cuda::store4(shared, (Tile::row_offset(i / Tile::kSpan) + i % Tile::kSpan) * kGroup + lane,
                     inside >> b & 1 ? t(x[b]) : x[b]);
    }
  }
}

/// dz of the tile, 0 outside the image.
template <class S>
__device__ __forceinline__ void stage_norm_gradient(S shared, const SeparableGradArgs& u, const WeightPlace& place,
                                                    const WeightLayout& at) {
  const int quads = u.k / 4, pitch = depth_pitch(u.k);
  const int64_t image = place.image * u.out_height * u.out_width;
#pragma unroll 2
  for (int i = static_cast<int>(threadIdx.x); i < kPixels * quads; i += kThreads) {
    const int p = i / quads, k = i % quads * 4, h = place.row + p / kSide, w = place.column + p % kSide;
    float4 v = make_float4(0, 0, 0, 0);
    if (h < u.out_height && w < u.out_width) {
      const int64_t pixel = image + h * u.out_width + w;
      const float4 dy = cuda::load4(u.dy + pixel * u.dy_ld + k), z = cuda::load4(u.z + pixel * u.z_ld + k);
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

/// dY of the tile in the place of y: a thread computes 4 channels of 2 pixels.
template <class S>
__device__ __forceinline__ void multiply_back(S shared, const SeparableGradArgs& u, int channel,
                                              const WeightLayout& at) {
  const int quad = static_cast<int>(threadIdx.x) % kQuads, p = static_cast<int>(threadIdx.x) / kQuads;
  const int c = channel + 4 * quad, pitch = depth_pitch(u.k);
  if (c >= u.channels) return;
  const float* const w = u.w_pw + int64_t{c} * u.k;
  float4 sum[2] = {make_float4(0, 0, 0, 0), make_float4(0, 0, 0, 0)};
#pragma unroll 1
  for (int k = 0; k < u.k; k += 4) {
    const float4 w0 = cuda::load4(w + k), w1 = cuda::load4(w + u.k + k);
    const float4 w2 = cuda::load4(w + 2 * u.k + k), w3 = cuda::load4(w + 3 * u.k + k);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float4 d = cuda::load4(shared, at.dz + (p + i * (kPixels / 2)) * pitch + k);
      sum[i] = cuda::fma4(sum[i], make_float4(w0.x, w1.x, w2.x, w3.x), d.x);
      sum[i] = cuda::fma4(sum[i], make_float4(w0.y, w1.y, w2.y, w3.y), d.y);
      sum[i] = cuda::fma4(sum[i], make_float4(w0.z, w1.z, w2.z, w3.z), d.z);
      sum[i] = cuda::fma4(sum[i], make_float4(w0.w, w1.w, w2.w, w3.w), d.w);
    }
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) cuda::store4(shared, at.y + (p + i * (kPixels / 2)) * kYPitch + 4 * quad, sum[i]);
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

/// Threads as teams of K, each with every so many pixels: a thread has 4 x 4 elements of dw_pw.
struct Team {
  int teams, number, channel, k;
  __device__ explicit Team(int depth) {
    const int thread = static_cast<int>(threadIdx.x), cell = thread % depth;
    teams = kThreads / depth;
    number = thread / depth;
    channel = cell / (depth / 4) * 4;
    k = cell % (depth / 4) * 4;
  }
};

/// products += y^T dz over the pixels of the team.
template <class S>
__device__ __forceinline__ void multiply_weights(S shared, const Team& team, int depth, const WeightLayout& at,
                                                 float4 (&products)[4]) {
  if (team.number >= team.teams) return;
  const int pitch = depth_pitch(depth);
#pragma unroll 2
  for (int p = team.number; p < kPixels; p += team.teams) {
    const float4 y = cuda::load4(shared, at.y + p * kYPitch + team.channel);
    const float4 d = cuda::load4(shared, at.dz + p * pitch + team.k);
    products[0] = cuda::fma4(products[0], d, y.x), products[1] = cuda::fma4(products[1], d, y.y);
    products[2] = cuda::fma4(products[2], d, y.z), products[3] = cuda::fma4(products[3], d, y.w);
  }
}

/// The block's sums of dw_dw, from those of its threads, to `to`.
template <int kTaps, class S>
__device__ __forceinline__ void write_taps(S shared, float2* taps, int channel, int channels, float* to) {
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
    const int c = channel + i % kGroup;
    float sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += shared[warp * kTaps * kGroup + i];
    if (c < channels) to[i / kGroup * channels + c] = sum;
  }
  __syncthreads();
}

/// Likewise of dw_pw.
template <class S>
__device__ __forceinline__ void write_products(S shared, const Team& team, const float4 (&products)[4], int channel,
                                               const SeparableGradArgs& u, float* to) {
  const int size = kGroup * u.k;
  if (team.number < team.teams)
#pragma unroll
    for (int j = 0; j < 4; ++j)
      cuda::store4(shared, team.number * size + (team.channel + j) * u.k + team.k, products[j]);
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) {
    const int c = channel + i / u.k;
    float sum = 0;
    for (int t = 0; t < team.teams; ++t) sum += shared[t * size + i];
    if (c < u.channels) to[int64_t{c} * u.k + i % u.k] = sum;
  }
}

template <class Tile, class S>
__device__ __forceinline__ void weights_of_unit(S shared, const SeparableGradArgs& u) {
  constexpr int kKernel = Tile::kKernel;
  const WeightLayout at(Tile::kFloats, u.k);
  for (int k = static_cast<int>(threadIdx.x); k < u.k; k += kThreads) {
    const NormGradient dz(u, k);
    shared[at.factors + k] = dz.dy_factor;
    shared[at.factors + u.k + k] = dz.mean;
    shared[at.factors + 2 * u.k + k] = dz.z_factor;
    shared[at.factors + 3 * u.k + k] = dz.constant;
  }
  WeightPlace place{0, 0, 0, static_cast<int>(blockIdx.y) * kGroup};
  const int c = place.channel + static_cast<int>(threadIdx.x) % kPairs * 2;
  float2 taps[kKernel][kKernel];
#pragma unroll
  for (auto& row : taps)
#pragma unroll
    for (float2& v : row) v = make_float2(0, 0);
  float4 products[4];
#pragma unroll
  for (float4& v : products) v = make_float4(0, 0, 0, 0);

  const int across = (u.out_width + kSide - 1) / kSide, down = (u.out_height + kSide - 1) / kSide;
  for (int tile = static_cast<int>(blockIdx.x); tile < u.images * across * down;
       tile += static_cast<int>(gridDim.x)) {
    place.image = tile / (across * down);
    place.row = tile % (across * down) / across * kSide;
    place.column = tile % across * kSide;
    __syncthreads();  // the factors are there, the tile before this one has been read
    stage_input<Tile>(shared, u, place);
    stage_norm_gradient(shared, u, place, at);
    __syncthreads();
    multiply_back(shared, u, place.channel, at);
    __syncthreads();
    if (c < u.channels) slide<Tile>(shared, u, c, at, taps);
    __syncthreads();
    const Team team(u.k);
    if (place.channel + team.channel < u.channels) multiply_weights(shared, team, u.k, at, products);
  }

  __syncthreads();
  const Team team(u.k);
  float* const to = u.weights + int64_t{blockIdx.x} * u.channels * (kKernel * kKernel + u.k);
  write_taps<kKernel * kKernel>(shared, taps[0], place.channel, u.channels, to);
  write_products(shared, team, products, place.channel, u, to + kKernel * kKernel * u.channels);
}

/// Block (x, y, z): every gridDim.x-th tile from x on, group y of channels, unit z.
template <int kKernel>
__global__ void __launch_bounds__(kThreads, kKernel == 5 ? 3 : 4)
    separable_grad_weight_tiles(const SeparableGradParts units) {
  MIXOP_DYNAMIC_SHARED(float, shared);
  const SeparableGradArgs& u = units.unit[blockIdx.z];
  if (static_cast<int>(blockIdx.y) * kGroup >= u.channels) return;
  with_input_tile<kKernel>(u, [&]<class Tile>() { weights_of_unit<Tile>(shared, u); });
}

template <int kKernel>
int shared_floats(const SeparableGradArgs& u) {
  int floats = 0;
  with_input_tile<kKernel>(u, [&]<class Tile>() { floats = WeightLayout(Tile::kFloats, u.k).floats; });
  return std::max({floats, kWarps * kKernel * kKernel * kGroup, kThreads * kGroup});
}

}  // namespace

int64_t separable_grad_weight_tiles_of(const SeparableGradArgs& u) {
  return int64_t{u.images} * cuda::ceil_div(u.out_height, kSide) * cuda::ceil_div(u.out_width, kSide);
}

int separable_grad_weight_floats(const SeparableGradArgs& u) {
  return u.kernel == 5 ? shared_floats<5>(u) : shared_floats<3>(u);
}

void separable_grad_weights(const Exec& exec, const SeparableGradParts& units, int blocks) {
  int floats = 0, groups = 0;
  for (int i = 0; i < units.parts; ++i) {
    floats = std::max(floats, separable_grad_weight_floats(units.unit[i]));
    groups = std::max(groups, cuda::ceil_div(units.unit[i].channels, kGroup));
  }
  cuda::launch(
      exec, "separable_grad_weight_tiles",
      units.unit[0].kernel == 5 ? separable_grad_weight_tiles<5> : separable_grad_weight_tiles<3>,
      dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(groups), static_cast<unsigned>(units.parts)),
      dim3(kThreads), sizeof(float) * static_cast<size_t>(floats), units);
}

}  // namespace mixop::kernels
