// dx of units that share an input, each dY computed on the way: dz on load, dY = dz w_pw^T into a tile in shared
// memory, dx += depthwise^T(dY) in registers. A block takes 16 x 16 (or 8 x 8) pixels of one image of dx and 16
// channels.
//   traffic     reads dy and z of each unit once (their halo comes from the L2 cache), x once, writes T;
//               the composite reads 6 T and writes 3 T a unit
// Along each axis window element q of a cell (a pixel of dx, or 2 x 2 of them where the stride is 2) lies at tile
// position cell + kSpacing * q; position 0 is Tile::first() rows of dY from where the cells begin.
#include <algorithm>

#include "kernels/core/cuda/reduce.cuh"
#include "kernels/ops/separable_grad_units.cuh"

namespace mixop::kernels {
namespace {

using cuda::kWarp;

constexpr int kGroup = 16, kQuads = kGroup / 4;       ///< channels of a block
constexpr int kChunk = 16;                            ///< pixels of dY that a warp computes at a time ..
constexpr int kLanePixels = kChunk * kQuads / kWarp;  ///< of them those of a lane
constexpr int kDepth = 16,
              kDepthPitch = 20;  ///< .. and the channels of dz that it keeps for them; an odd number of quads

/// kCells x kCells cells, of which a thread owns a strip of kRows x kColumns with 4 channels.
template <int kStride_, int kCells_>
struct DataShape {
  static constexpr int kStride = kStride_, kCells = kCells_, kPixels = kCells * kStride;
  static constexpr int kRows = kStride == 1 && kCells == 16 ? 2 : 1, kColumns = kStride == 1 ? 4 : 2;
  static constexpr int kStrips = kCells / kRows * (kCells / kColumns), kThreads = kStrips * kQuads;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kResident = kThreads == 128 ? 3 : 8;  ///< blocks that an SM holds at a time
  static constexpr int kStripFloats = kWarps * kChunk * kDepthPitch;
};

template <class Shape_, int kKernel_, int kDilation_>
struct DataTile : Shape_ {
  using Shape_::kCells, Shape_::kRows, Shape_::kColumns, Shape_::kStride;
  static constexpr int kKernel = kKernel_, kDilation = kDilation_;
  static constexpr bool kPaired = kStride == 2;
  // Stride 2: the outputs 2a and 2a + 1 of cell a read dY at a + floor(pad / 2) + kFirst + q, from 2 oh = ih + pad
  // - r * dilation with the parity of a padding that keeps the extent.
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
  __device__ static int first(int pad) { return (kPaired ? (pad - (pad & 1)) / 2 : pad) + kFirst; }

  // Two strips are read in one access and must begin an odd number of pixels, that is of half bank rows, apart:
  // they lie one below the other, with one pixel more after the rows of each, or in neighbouring classes modulo
  // the dilation.
  static constexpr int kSpan = kCells + kSpacing * (kSize - 1), kPitch = kSpan + kSpan % 2;
  static constexpr int row_offset(int row) { return row * kPitch + (kSpacing == 1 ? row / kRows : 0); }
  static constexpr int kFloats = (row_offset(kSpan - 1) + kPitch) * kGroup;

  struct Strip {
    int row, column;  ///< of its first cell; the next ones are kSpacing apart
    __device__ explicit Strip(int i) {
      constexpr int kSide = kCells / kSpacing, kStripRows = kSide / kRows, kStripColumns = kSide / kColumns;
      const int column_class = i % kSpacing;
      i /= kSpacing;
      row = i % kStripRows * kRows * kSpacing + i / kStripRows / kStripColumns;
      column = i / kStripRows % kStripColumns * kColumns * kSpacing + column_class;
    }
  };
};

/// What a block computes.
struct DataPlace {
  int64_t image;
  int row, column, channel;  ///< the first pixel of dx and channel
};

/// dY of the tile from row `top` and column `left` of dY on, 0 outside the image. A warp takes kChunk pixels at a
/// time: a lane evaluates 4 channels of dz of 2 pixels, and then 4 channels of dY of 2 pixels.
template <class Tile, class S>
__device__ __forceinline__ void stage_gradient(S shared, const SeparableGradArgs& u, const DataPlace& place,
                                               int top, int left, int strips_at) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int quad = lane % kQuads, first_pixel = lane / kQuads, c = place.channel + 4 * quad;
  const int row_begin = max(0, -top), row_end = min(Tile::kSpan, u.out_height - top);
  const int column_begin = max(0, -left), columns = min(Tile::kSpan, u.out_width - left) - column_begin;
  const int pixels = columns > 0 ? (row_end - row_begin) * columns : 0;
  const float of_image = u.factor_of(place.image);
  const int factors_at = strips_at + Tile::kStripFloats, strip = strips_at + warp * kChunk * kDepthPitch;
  for (int k = thread; k < u.k; k += Tile::kThreads) {
    const NormGradient dz(u, k);
    shared[factors_at + k] = dz.dy_factor * of_image;
    shared[factors_at + u.k + k] = dz.mean;
    shared[factors_at + 2 * u.k + k] = dz.z_factor;
    shared[factors_at + 3 * u.k + k] = dz.constant;
  }
  if (pixels < Tile::kSpan * Tile::kSpan)
    for (int i = 4 * thread; i < Tile::kFloats; i += 4 * Tile::kThreads)
      cuda::store4(shared, i, make_float4(0, 0, 0, 0));
  __syncthreads();

  const int64_t image = place.image * u.out_height * u.out_width;
  const float *const dys = u.dy + image * u.dy_ld, *const zs = u.z + image * u.z_ld;
  const float* const w = u.w_pw + int64_t{c} * u.k;
  for (int chunk = warp * kChunk; chunk < pixels; chunk += Tile::kWarps * kChunk) {
    int from[kLanePixels], to[kLanePixels];  // pixels of dY and of the tile; -1: none
    float4 sum[kLanePixels];
#pragma unroll
    for (int i = 0; i < kLanePixels; ++i) {
      const int p = chunk + first_pixel + 8 * i, row = row_begin + p / columns, column = column_begin + p % columns;
      from[i] = p < pixels ? (top + row) * u.out_width + left + column : -1;
      to[i] = Tile::row_offset(row) + column;
      sum[i] = make_float4(0, 0, 0, 0);
    }
    for (int k0 = 0; k0 < u.k; k0 += kDepth) {
      const int k = k0 + 4 * quad;
      if (k < u.k) {
        const float4 dy_factor = cuda::load4(shared, factors_at + k);
        const float4 mean = cuda::load4(shared, factors_at + u.k + k);
        const float4 z_factor = cuda::load4(shared, factors_at + 2 * u.k + k);
        const float4 constant = cuda::load4(shared, factors_at + 3 * u.k + k);
#pragma unroll
        for (int i = 0; i < kLanePixels; ++i) {
          const bool present = from[i] >= 0;
          const float4 z = present ? cuda::load4(zs + from[i] * u.z_ld + k) : mean;
          const float4 dy = present ? cuda::load4(dys + from[i] * u.dy_ld + k) : mean;
          const float4 d = make_float4(z.x - mean.x, z.y - mean.y, z.z - mean.z, z.w - mean.w);
          cuda::store4(shared, strip + (first_pixel + 8 * i) * kDepthPitch + 4 * quad,
                       cuda::fma4(cuda::fma4(constant, d, z_factor), dy, dy_factor));
        }
      }
      __syncwarp();
      if (c < u.channels)
#pragma unroll 1  // 64 registers for the weights would be too many
        for (int j = 0; j < kDepth && k0 + j < u.k; j += 4) {
          const float4 w0 = cuda::load4(w + k0 + j), w1 = cuda::load4(w + u.k + k0 + j);
          const float4 w2 = cuda::load4(w + 2 * u.k + k0 + j), w3 = cuda::load4(w + 3 * u.k + k0 + j);
#pragma unroll
          for (int i = 0; i < kLanePixels; ++i) {
            const float4 d = cuda::load4(shared, strip + (first_pixel + 8 * i) * kDepthPitch + j);
            sum[i] = cuda::fma4(sum[i], make_float4(w0.x, w1.x, w2.x, w3.x), d.x);
            sum[i] = cuda::fma4(sum[i], make_float4(w0.y, w1.y, w2.y, w3.y), d.y);
            sum[i] = cuda::fma4(sum[i], make_float4(w0.z, w1.z, w2.z, w3.z), d.z);
            sum[i] = cuda::fma4(sum[i], make_float4(w0.w, w1.w, w2.w, w3.w), d.w);
          }
        }
      __syncwarp();
    }
#pragma unroll
    for (int i = 0; i < kLanePixels; ++i)
      if (from[i] >= 0) cuda::store4(shared, to[i] * kGroup + 4 * quad, sum[i]);
  }
  __syncthreads();
}

/// sum[i][e][p * stride + f] += the window of cell (i, p) times the filter, for the output of phases (e, f).
template <class Tile, class S>
__device__ __forceinline__ void gather_strip(
    S shared, int base, int filter_at, float4 (&sum)[Tile::kRows][Tile::kStride][Tile::kColumns * Tile::kStride]) {
  constexpr int kPhases = Tile::kStride;
#pragma unroll
  for (int j = 0; j < Tile::kRows + Tile::kSize - 1; ++j) {
    float4 x[Tile::kColumns + Tile::kSize - 1];
#pragma unroll
    for (int q = 0; q < Tile::kColumns + Tile::kSize - 1; ++q)
      x[q] = cuda::load4(shared, base + (Tile::row_offset(j * Tile::kSpacing) + q * Tile::kSpacing) * kGroup);
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
            const float4 w = cuda::load4(shared, filter_at + tap * kGroup);
#pragma unroll
            for (int p = 0; p < Tile::kColumns; ++p)
              sum[i][e][p * kPhases + f] = cuda::fma4(sum[i][e][p * kPhases + f], x[p + q], w);
          }
        }
      }
    }
  }
}

/// Sums over the threads of a block that share a quad of channels, thread `quad` of each; then no others go on.
template <int kWarps, class S>
__device__ __forceinline__ float4 sum_of_quads(S shared, int at, float4 v) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
#pragma unroll
  for (int offset = kQuads; offset < kWarp; offset *= 2) {
    v.x += __shfl_xor_sync(0xFFFFFFFFu, v.x, offset), v.y += __shfl_xor_sync(0xFFFFFFFFu, v.y, offset);
    v.z += __shfl_xor_sync(0xFFFFFFFFu, v.z, offset), v.w += __shfl_xor_sync(0xFFFFFFFFu, v.w, offset);
  }
  if (lane < kQuads) cuda::store4(shared, at + (thread / kWarp * kQuads + lane) * 4, v);
  __syncthreads();
  for (int warp = 1; thread < kQuads && warp < kWarps; ++warp)
    v = cuda::add4(v, cuda::load4(shared, at + (warp * kQuads + lane) * 4));
  return v;
}

/// The filter of the block's channels, 0 beyond the last.
template <class Tile, class S>
__device__ __forceinline__ void stage_filter(S shared, const SeparableGradArgs& u, int channel, int filter_at) {
  for (int i = 4 * static_cast<int>(threadIdx.x); i < Tile::kKernel * Tile::kKernel * kGroup;
       i += 4 * Tile::kThreads) {
    const int c = channel + i % kGroup;
    cuda::store4(shared, filter_at + i,
                 c < u.channels ? cuda::load4(u.w_dw + i / kGroup * u.channels + c) : make_float4(0, 0, 0, 0));
  }
  __syncthreads();
}

template <class Shape_, int kDilation, class S>
__device__ __forceinline__ void data_of_part(S shared, const SeparableGradArgs* units, int count, int tile_floats,
                                             const DataPlace& place, int block) {
  using Wide = DataTile<Shape_, 5, kDilation>;
  using Narrow = DataTile<Shape_, 3, kDilation>;
  constexpr int kStride = Shape_::kStride, kRows = Shape_::kRows, kWidth = Shape_::kColumns * kStride;
  const int thread = static_cast<int>(threadIdx.x), quad = thread % kQuads, c = place.channel + 4 * quad;
  const typename Wide::Strip strip(thread / kQuads);
  const SeparableGradArgs& g = units[0];
  const bool present = c < g.channels;
  float4 sum[kRows][kStride][kWidth];
#pragma unroll
  for (auto& row : sum)
#pragma unroll
    for (auto& phase : row)
#pragma unroll
      for (float4& v : phase) v = make_float4(0, 0, 0, 0);

  for (int n = 0; n < count; ++n) {
    const SeparableGradArgs& u = units[n];
    const auto gather = [&]<class Tile>() {
      const int first = Tile::first(u.pad);
      stage_gradient<Tile>(shared, u, place, place.row / kStride + first, place.column / kStride + first,
                           tile_floats);
      stage_filter<Tile>(shared, u, place.channel, tile_floats);
      const int base = (Tile::row_offset(strip.row) + strip.column) * kGroup + 4 * quad;
      gather_strip<Tile>(shared, base, tile_floats + 4 * quad, sum);
    };
    if (u.kernel == 5) gather.template operator()<Wide>();
    else gather.template operator()<Narrow>();
    __syncthreads();  // the tile has been read
  }

  float4 s1 = make_float4(0, 0, 0, 0), s2 = s1;
  const GradLoadQuad t(g.load, present ? c : 0);
#pragma unroll
  for (int i = 0; i < kRows * kStride; ++i) {
    const int h = place.row + (strip.row + i / kStride * Wide::kSpacing) * kStride + i % kStride;
#pragma unroll
    for (int p = 0; p < kWidth; ++p) {
      const int w = place.column + (strip.column + p / kStride * Wide::kSpacing) * kStride + p % kStride;
      if (!present || h >= g.height || w >= g.width) continue;
      const int64_t pixel = (place.image * g.height + h) * g.width + w;
      float4 v = sum[i / kStride][i % kStride][p];
      if (t.relu || g.sums) {
        const float4 x = cuda::load4(g.x + pixel * g.x_ld + c);
        v = t.masked(v, x);
        s1 = cuda::add4(s1, v);
        s2 = cuda::fma4(s2, v, t.centred(x));
      }
      float* const to = g.dx + pixel * g.dx_ld + c;
      cuda::store4(to, g.add ? cuda::add4(v, cuda::load4(to)) : v);
    }
  }
  if (!g.sums) return;
  s1 = sum_of_quads<Shape_::kWarps>(shared, 0, s1);
  s2 = sum_of_quads<Shape_::kWarps>(shared, Shape_::kWarps * kGroup, s2);
  if (thread >= kQuads || !present) return;
  float* const sums = g.sums + int64_t{block} * 2 * g.channels + c;
  cuda::store4(sums, s1);
  cuda::store4(sums + g.channels, s2);
}

/// Block (x, y): tile and channels x of part y.
template <class Shape_>
__global__ void __launch_bounds__(Shape_::kThreads, Shape_::kResident)
    separable_grad_data_tiles(const SeparableGradParts parts) {
  MIXOP_DYNAMIC_SHARED(float, shared);
  const SeparableGradArgs* const units = parts.unit + parts.first[blockIdx.y];
  const int count = parts.first[blockIdx.y + 1] - parts.first[blockIdx.y];
  const int groups = (units->channels + kGroup - 1) / kGroup, block = static_cast<int>(blockIdx.x) / groups;
  const int across = (units->width + Shape_::kPixels - 1) / Shape_::kPixels;
  const int down = (units->height + Shape_::kPixels - 1) / Shape_::kPixels, rest = block % (across * down);
  const DataPlace place{block / (across * down), rest / across * Shape_::kPixels, rest % across * Shape_::kPixels,
                        static_cast<int>(blockIdx.x) % groups * kGroup};
  if (place.image >= units->images) return;
  if (units->dilation == 1) data_of_part<Shape_, 1>(shared, units, count, parts.tile_floats, place, block);
  else data_of_part<Shape_, 2>(shared, units, count, parts.tile_floats, place, block);
}

template <class Shape_>
constexpr int tile_floats(const SeparableGradArgs& u) {
  if (u.dilation == 1) return u.kernel == 5 ? DataTile<Shape_, 5, 1>::kFloats : DataTile<Shape_, 3, 1>::kFloats;
  return u.kernel == 5 ? DataTile<Shape_, 5, 2>::kFloats : DataTile<Shape_, 3, 2>::kFloats;
}

template <class Shape_>
void start(const Exec& exec, SeparableGradParts& parts) {
  int64_t blocks = 0;
  int k = 0;
  for (int i = 0; i < parts.first[parts.parts]; ++i) {
    const SeparableGradArgs& u = parts.unit[i];
    const int64_t tiles =
        int64_t{cuda::ceil_div(u.height, Shape_::kPixels)} * cuda::ceil_div(u.width, Shape_::kPixels);
    blocks = std::max(blocks, u.images * tiles * cuda::ceil_div(u.channels, kGroup));
    parts.tile_floats = std::max(parts.tile_floats, tile_floats<Shape_>(u));
    k = std::max(k, u.k);
  }
  const auto floats = static_cast<size_t>(parts.tile_floats + Shape_::kStripFloats + 4 * k);
  cuda::launch(exec, "separable_grad_data_tiles", separable_grad_data_tiles<Shape_>,
               dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(parts.parts)), dim3(Shape_::kThreads),
               sizeof(float) * floats, parts);
}

}  // namespace

bool separable_grad_large(const SeparableGradArgs& u) { return u.stride == 2 || std::max(u.height, u.width) > 8; }

int64_t separable_grad_data_blocks(const SeparableGradArgs& u) {
  const int pixels = separable_grad_large(u) ? 16 : 8;
  return int64_t{u.images} * cuda::ceil_div(u.height, pixels) * cuda::ceil_div(u.width, pixels);
}

void separable_grad_data(const Exec& exec, SeparableGradParts parts, bool large) {
  if (parts.unit[0].stride == 2) start<DataShape<2, 8>>(exec, parts);
  else if (large) start<DataShape<1, 16>>(exec, parts);
  else start<DataShape<1, 8>>(exec, parts);
}

}  // namespace mixop::kernels
