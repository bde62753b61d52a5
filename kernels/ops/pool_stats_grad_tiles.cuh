// The gradient of 3x3 pools and the norms behind them, by tiles of pixels in shared memory.
#pragma once

#include "kernels/core/cuda/shared.cuh"
#include "kernels/ops/pool_stats_grad_tasks.cuh"

namespace mixop::kernels::cuda {

constexpr int kGradTileHeight = 8, kGradTileWidth = 16, kGradTilePacks = 4;  // pixels, pixels, packs of 4 channels
constexpr int kGradTileThreads = 256, kGradTileStep = kGradTileThreads / kGradTilePacks;
constexpr int kGradTilePixels = kGradTileHeight * kGradTileWidth / kGradTileStep;                // of a thread
constexpr int kGradTileWindows = (kGradTileHeight + 2) * (kGradTileWidth + 2) * kGradTilePacks;  // at stride 1
constexpr int kGradTileCells = (kGradTileHeight + 4) * (kGradTileWidth + 4) * kGradTilePacks;

/// A block's pixels of x and the pack of 4 channels of a thread, which walks over pixels from `begin` on.
struct GradTile {
  int y0, x0, height, width;
  int c, pack, begin;
  bool present;  ///< the thread's channels exist

  __device__ __forceinline__ explicit GradTile(const GradTask& t) {
    const int across = ceil_div(t.width, t.tile_width), groups = ceil_div(t.channels, kGradTilePacks * 4);
    const int group = static_cast<int>(blockIdx.x) % groups, tile = static_cast<int>(blockIdx.x) / groups;
    const int thread = static_cast<int>(threadIdx.x);
    y0 = tile / across * t.tile_height;
    x0 = tile % across * t.tile_width;
    height = min(t.tile_height, t.height - y0);
    width = min(t.tile_width, t.width - x0);
    pack = thread % kGradTilePacks;
    begin = thread / kGradTilePacks;
    c = (group * kGradTilePacks + pack) * 4;
    present = c < t.channels;
  }
  /// Nothing of the image is left for the block.
  __device__ __forceinline__ bool empty() const { return height <= 0; }
};

/// The windows that touch a tile, and the cells of x that lie in them.
template <int kStride>
struct GradWindows {
  PoolShape s;
  int first_y, first_x, rows, columns;

  __device__ __forceinline__ GradWindows(const PoolShape& shape, const GradTile& t) : s(as_3x3<kStride>(shape)) {
    first_y = s.v.first_window(t.y0);
    first_x = s.h.first_window(t.x0);
    rows = s.v.last_window(t.y0 + t.height - 1) - first_y + 1;
    columns = s.h.last_window(t.x0 + t.width - 1) - first_x + 1;
  }
  __device__ __forceinline__ int count() const { return rows * columns; }
  __device__ __forceinline__ int cell_columns() const { return (columns - 1) * kStride + 3; }
  __device__ __forceinline__ int cells() const { return ((rows - 1) * kStride + 3) * cell_columns(); }
};

/// Stores dz of the tile's windows; of an average as it arrives at each cell.
template <int kParts, int kStride, class S>
__device__ __forceinline__ void store_gradients(const GradPool& p, const GradTile& t, const GradWindows<kStride>& w,
                                                int n, S dz) {
  const NormGradient<4> gradient(p, t.c);
  for (int i = t.begin; i < w.count(); i += kGradTileStep) {
    const int yo = w.first_y + i / w.columns, xo = w.first_x + i % w.columns;
    auto g = norm_gradient<kParts>(p, gradient, n, yo * w.s.h.outputs + xo, t.c);
    if (!p.max) multiply(g, 1.0f / static_cast<float>(w.s.v.divisor(yo) * w.s.h.divisor(xo)));
    store4(dz, (i * kGradTilePacks + t.pack) * 4, make_float4(g[0], g[1], g[2], g[3]));
  }
}

/// Stores t(x) of the tile's cells, -inf outside the image.
template <int kStride, class S>
__device__ __forceinline__ void store_cells(const GradTask& task, const GradTile& t, const GradWindows<kStride>& w,
                                            int n, S cells) {
  const NormOnLoad<4> load(task.load, t.c);
  const int columns = w.cell_columns();
  with_type(task.x, [&](const auto* x) {
    const auto* const image = image_of(x, n, task.pixels(), task.x.ld) + t.c;
#pragma unroll 4
    for (int i = t.begin; i < w.cells(); i += kGradTileStep) {
      const int yi = w.s.v.begin(w.first_y) + i / columns, xi = w.s.h.begin(w.first_x) + i % columns;
      const bool inside = w.s.v.inside(yi) && w.s.h.inside(xi);
      const int nearest = w.s.v.nearest(yi) * task.width + w.s.h.nearest(xi);
      const auto value = load(load_pack<4>(image + nearest * task.x.ld));
      const auto cell = inside ? value : nothing<true, 4>();
      store4(cells, (i * kGradTilePacks + t.pack) * 4, make_float4(cell[0], cell[1], cell[2], cell[3]));
    }
  });
}

/// Which tap (row-major) of each window is its maximum, a byte a channel, as find_maximum gives it.
template <int kStride, class S, class M>
__device__ __forceinline__ void find_maxima(const GradTile& t, const GradWindows<kStride>& w, S cells, M maxima) {
  const int columns = w.cell_columns();
  for (int i = t.begin; i < w.count(); i += kGradTileStep) {
    const int wy = i / w.columns, wx = i % w.columns;
    const int first = w.s.v.first_tap(w.first_y + wy) * 3 + w.s.h.first_tap(w.first_x + wx);
    int taps[4] = {first, first, first, first};
    auto best = nothing<true, 4>();
#pragma unroll
    for (int k = 0; k < 9; ++k) {
      const int cell = (wy * kStride + k / 3) * columns + wx * kStride + k % 3;
      const float4 v = load4(cells, (cell * kGradTilePacks + t.pack) * 4);
      const Pack<4> value{{v.x, v.y, v.z, v.w}};
      for (int j = 0; j < 4; ++j) {
        const bool take = beats(value[j], best[j]);
        best[j] = take ? value[j] : best[j];
        taps[j] = take ? k : taps[j];
      }
    }
    maxima[i * kGradTilePacks + t.pack] = taps[0] | taps[1] << 8 | taps[2] << 16 | taps[3] << 24;
  }
}

/// Adds what a pixel gets of the windows that cover it: of an average everything, else where it is the maximum.
template <bool kMax, int kStride, class S, class M>
__device__ __forceinline__ void gather(const GradTile& t, const GradWindows<kStride>& w, int yi, int xi, S dz,
                                       M maxima, Pack<4>& total) {
  constexpr int kCover = kStride == 1 ? 3 : 2;  // windows over a pixel, along an axis
  const int last_y = w.s.v.last_window(yi), last_x = w.s.h.last_window(xi);
#pragma unroll
  for (int a = 0; a < kCover; ++a)
#pragma unroll
    for (int b = 0; b < kCover; ++b) {
      const int yo = w.s.v.first_window(yi) + a, near_y = min(yo, last_y);
      const int xo = w.s.h.first_window(xi) + b, near_x = min(xo, last_x);
      const int window = ((near_y - w.first_y) * w.columns + near_x - w.first_x) * kGradTilePacks + t.pack;
      const bool covered = yo == near_y && xo == near_x;
      const float4 v = load4(dz, window * 4);
      const Pack<4> g{{v.x, v.y, v.z, v.w}};
      if constexpr (kMax) {
        const int taps = maxima[window], mine = (yi - w.s.v.begin(yo)) * 3 + xi - w.s.h.begin(xo);
        for (int j = 0; j < 4; ++j) total[j] += covered && (taps >> 8 * j & 255) == mine ? g[j] : 0.0f;
      } else {
        for (int j = 0; j < 4; ++j) total[j] += covered ? g[j] : 0.0f;
      }
    }
}

/// Adds the gradient through a pool. All threads must call.
template <int kStride, class S, class M>
__device__ __forceinline__ void add_pool(const GradTask& task, const GradPool& p, const GradTile& t, int n, S dz,
                                         S cells, M maxima, Pack<4> (&total)[kGradTilePixels]) {
  const GradWindows<kStride> w(p.shape, t);
  if (t.present) {
    if (p.max) store_cells(task, t, w, n, cells);
    if (p.parts == 1) store_gradients<1>(p, t, w, n, dz);
    else if (p.parts == 2) store_gradients<2>(p, t, w, n, dz);
    else if (p.parts == 3) store_gradients<3>(p, t, w, n, dz);
    else store_gradients<4>(p, t, w, n, dz);
  }
  __syncthreads();
  if (p.max) {
    if (t.present) find_maxima(t, w, cells, maxima);
    __syncthreads();
  }
#pragma unroll
  for (int o = 0; o < kGradTilePixels; ++o) {
    const int i = t.begin + o * kGradTileStep;
    if (!t.present || i >= t.height * t.width) break;
    const int yi = t.y0 + i / t.width, xi = t.x0 + i % t.width;
    if (p.max) gather<true>(t, w, yi, xi, dz, maxima, total[o]);
    else gather<false>(t, w, yi, xi, dz, maxima, total[o]);
  }
  __syncthreads();  // the arrays are used again
}

/// dx (+)= sum over pools and skips: a block owns a tile of pixels and 16 channels. Of each pool it first evaluates
/// the gradient of the windows that touch the tile, and finds their maxima, into shared memory; then pixels gather.
static __global__ void __launch_bounds__(kGradTileThreads, 3) pool_stats_grad_3x3(const GradTasks tasks) {
  wait_for_earlier();
  MIXOP_SHARED(float, dz, kGradTileWindows * 4);
  MIXOP_SHARED(float, cells, kGradTileCells * 4);
  MIXOP_SHARED(int, maxima, kGradTileWindows);
  const GradTask& task = tasks.task[blockIdx.z];
  const GradTile t(task);
  if (t.empty()) return;
  for (int n = static_cast<int>(blockIdx.y); n < task.images; n += static_cast<int>(gridDim.y)) {
    Pack<4> total[kGradTilePixels];
    for (int o = 0; o < kGradTilePixels; ++o) total[o] = filled<4>(0);
    for (int k = 0; k < task.pools; ++k) {
      const GradPool& p = task.pool[k];
      if (p.shape.v.stride == 1) add_pool<1>(task, p, t, n, dz, cells, maxima, total);
      else add_pool<2>(task, p, t, n, dz, cells, maxima, total);
    }
#pragma unroll
    for (int o = 0; o < kGradTilePixels; ++o) {
      const int i = t.begin + o * kGradTileStep;
      if (!t.present || i >= t.height * t.width) break;
      const int pixel = (t.y0 + i / t.width) * task.width + t.x0 + i % t.width;
      add_skips(task, n, pixel, t.c, total[o]);
      write_pack(task.dx, task.dx.at(n, task.pixels(), pixel) + t.c, total[o], task.add);
    }
  }
}

/// Nearly equal tiles; returns how many blocks an image takes.
inline int make_tiles(GradTask& t) {
  t.tile_height = ceil_div(t.height, ceil_div(t.height, kGradTileHeight));
  t.tile_width = ceil_div(t.width, ceil_div(t.width, kGradTileWidth));
  return ceil_div(t.height, t.tile_height) * ceil_div(t.width, t.tile_width) *
         ceil_div(t.channels, kGradTilePacks * 4);
}

}  // namespace mixop::kernels::cuda
