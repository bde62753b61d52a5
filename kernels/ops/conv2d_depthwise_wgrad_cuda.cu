// Weight gradients of depthwise convolutions. Blocks sum over tiles into one partial each; the block that comes
// last adds the partials in their order.
#include <algorithm>

#include "kernels/core/cuda/merge.cuh"
#include "kernels/ops/conv2d_depthwise_plain.cuh"
#include "kernels/ops/conv2d_depthwise_tile.cuh"
#include "kernels/ops/conv2d_impls_cuda.h"

namespace mixop::kernels {
namespace {

/// Blocks of the same elements of dw leave their sums as parts [blockIdx.y][blockIdx.x][element] and merge them.
struct WgradMerge {
  cuda::MergeTree tree;
  float* partials;
  unsigned* tickets;
  float* dw;
  bool add;

  /// put(i) is where element i of these lies in dw, null beyond.
  template <int kThreads, class Put>
  __device__ __forceinline__ void run(int size, Put&& put) const {
    cuda::merge_parts<kThreads>(tree, cuda::Addition(), static_cast<int>(blockIdx.x), own(0, size), size, size,
                                tickets + blockIdx.y * tree.tickets(), [&](int i, double sum) {
                                  float* const to = put(i);
                                  if (to) *to = static_cast<float>(add ? *to + sum : sum);
                                });
  }
  __device__ __forceinline__ float* own(int64_t part, int size) const {
    return partials + (static_cast<int64_t>(blockIdx.y) * tree.parts + part) * size;
  }
};

struct WgradArgs {
  DepthwiseInput x;
  const float* dy;
  int64_t dy_ld;
  int height, width;  ///< of dy
  int64_t count;      ///< tiles in all
  TileGrid tiles;
  WgradMerge merge;
};

__device__ __forceinline__ float2 read2(const float* p) {
  MIXOP_ASSERT_ALIGNED(p, 8);
  return *reinterpret_cast<const float2*>(p);
}
__device__ __forceinline__ float2 fma2(float2 a, float2 b, float2 c) {
  return make_float2(fmaf(b.x, c.x, a.x), fmaf(b.y, c.y, a.y));
}

/// dw[r, s, c] = the sum over parts of what each gives over the cells of every parts-th tile, dy[cell, c]
/// t(x)[window element (r, s), c]. A thread owns a strip of cells, 2 channels and all taps; its dy stays in
/// registers, as nobody else reads it.
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 384 / Tile::kThreads) depthwise_wgrad(const WgradArgs a) {
  cuda::wait_for_earlier();
  constexpr int kKernel = Tile::Window::kKernel, kStep = Tile::Window::kStep, kTaps = Tile::kTaps;
  constexpr int kFilter = kTaps * kGroup, kSums = Tile::kStrips * kFilter;
  MIXOP_SHARED(float, shared, Tile::kFloats > kSums ? Tile::kFloats : kSums);
  const typename Tile::Strip strip(static_cast<int>(threadIdx.x));
  const int group = static_cast<int>(blockIdx.y), c = group * kGroup + strip.channel;
  const int base = strip.base() * kGroup + strip.channel, ld = static_cast<int>(a.dy_ld);
  float2 sum[kKernel][kKernel];
#pragma unroll
  for (auto& row : sum)
#pragma unroll
    for (float2& v : row) v = make_float2(0, 0);

  for (int64_t tile = blockIdx.x; tile < a.count; tile += gridDim.x) {
    const TilePlace place = a.tiles.place(tile, Tile::kCells);
    const float* const image = a.dy + place.image * a.height * a.width * a.dy_ld + c;
    float2 dy[Tile::kRows][kColumns];
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      const int h = place.row + strip.cell_row(i);
#pragma unroll
      for (int p = 0; p < kColumns; ++p) {
        const int w = place.column + strip.cell_column(p);
        const bool present = c < a.x.channels && h < a.height && w < a.width;
        dy[i][p] = present ? read2(image + (h * a.width + w) * ld) : make_float2(0, 0);
      }
    }
    __syncthreads();  // the tile before this one has been read
    stage_tile<Tile>(shared, a.x, place, group);
    __syncthreads();
#pragma unroll
    for (int j = 0; j < Tile::kRowsIn; ++j) {
      float2 x[Tile::kColumnsIn];
#pragma unroll
      for (int q = 0; q < Tile::kColumnsIn; ++q)
        x[q] = cuda::load2(shared, base + (Tile::row_offset(j) + q) * kGroup);
#pragma unroll
      for (int i = 0; i < Tile::kRows; ++i) {
        const int r = j - i * kStep;
        if (r < 0 || r >= kKernel) continue;
#pragma unroll
        for (int p = 0; p < kColumns; ++p)
#pragma unroll
          for (int s = 0; s < kKernel; ++s) sum[r][s] = fma2(sum[r][s], dy[i][p], x[p * kStep + s]);
      }
    }
  }

  __syncthreads();
  const int own = static_cast<int>(threadIdx.x) / Tile::kLanes * kFilter + strip.channel;
#pragma unroll
  for (int t = 0; t < kTaps; ++t) cuda::store2(shared, own + t * kGroup, sum[t / kKernel][t % kKernel]);
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kFilter; i += Tile::kThreads) {
    float total = 0;
    for (int j = i; j < kSums; j += kFilter) total += shared[j];
    a.merge.own(blockIdx.x, kFilter)[i] = total;
  }
  a.merge.run<Tile::kThreads>(kFilter, [&](int i) {
    const int k = group * kGroup + i % kGroup;
    return k < a.x.channels ? a.merge.dw + i / kGroup * a.x.channels + k : nullptr;
  });
}

struct PlainWgradArgs {
  PlainAxis h, w;
  const float *dy, *x;
  int64_t dy_ld, x_ld, images, channels, parts;
  cuda::DeviceLoader load;
  WgradMerge merge;
};

constexpr int kPlainThreads = 256;

/// dw[r, s, c] = the sum over parts of what each gives over its rows of dy, dy[p, c] t(x)[p moved by (r, s), c]. A
/// thread owns an element of a part.
__global__ void depthwise_wgrad_plain(const PlainWgradArgs a) {
  cuda::wait_for_earlier();
  const int64_t size = int64_t{a.h.kernel} * a.w.kernel * a.channels, rows = a.images * a.h.y;
  const int64_t first = int64_t{blockIdx.y} * kPlainThreads, e = first + threadIdx.x, part = blockIdx.x;
  const int c = static_cast<int>(e % a.channels), s = static_cast<int>(e / a.channels % a.w.kernel);
  const int r = static_cast<int>(e / a.channels / a.w.kernel);
  const int64_t end = e < size ? rows * (part + 1) / a.parts : 0;
  double sum = 0;
  for (int64_t row = rows * part / a.parts; row < end; ++row) {
    const int64_t ih = a.h.input_of(row % a.h.y, r);
    if (ih < 0) continue;
    const float* const dy = a.dy + row * a.w.y * a.dy_ld + c;
    const float* const x = a.x + (row / a.h.y * a.h.x + ih) * a.w.x * a.x_ld + c;
    float line = 0;
    for (int64_t ow = 0; ow < a.w.y; ++ow) {
      const int64_t iw = a.w.input_of(ow, s);
      if (iw >= 0) line = fmaf(dy[ow * a.dy_ld], a.load(x[iw * a.x_ld], c), line);
    }
    sum += line;
  }
  a.merge.own(part, kPlainThreads)[threadIdx.x] = static_cast<float>(sum);
  a.merge.run<kPlainThreads>(kPlainThreads,
                             [&](int i) { return first + i < size ? a.merge.dw + first + i : nullptr; });
}

struct Wgrad {
  const Call& call;
  const Conv2dAttrs& a;
  const View &dy, &x;
  const Out& dw;
  int64_t taps, channels, groups;

  explicit Wgrad(const Call& c)
      : call(c),
        a(c.attr<Conv2dAttrs>()),
        dy(c.in[0]),
        x(c.in[1]),
        dw(c.out[0]),
        taps(int64_t{a.kernel[0]} * a.kernel[1]),
        channels(x.last()),
        groups(cuda::ceil_div<int64_t>(channels, kGroup)) {}

  bool in_tiles() const { return is_square(a) && in_vectors(x) && in_vectors(dy); }
  bool large() const { return std::max(dy.shape[1], dy.shape[2]) > 8; }
  template <class Tile>
  TileGrid tiles() const {
    return {static_cast<int>(cuda::ceil_div<int64_t>(dy.shape[1], Tile::kCells)),
            static_cast<int>(cuda::ceil_div<int64_t>(dy.shape[2], Tile::kCells))};
  }
  WgradMerge merge(int64_t parts, int64_t jobs, int size, int threads) const {
    const cuda::MergeTree tree(parts, size, threads);
    return {tree, call.exec->scratch<float>(), cuda::tickets_for(*call.exec, jobs * tree.tickets()), dw.as<float>(),
            dw.write == Write::kAdd};
  }
  // Enough partials to fill a device, few enough that adding them costs little.
  static constexpr int64_t kBlocks = 512, kPlainParts = 256;
  int64_t parts_of(int64_t tiles) const { return std::min(tiles, cuda::ceil_div(kBlocks, groups)); }
  int64_t plain_parts() const { return std::min(dy.shape[0] * dy.shape[1], kPlainParts); }
  int64_t plain_jobs() const { return cuda::ceil_div<int64_t>(taps * channels, kPlainThreads); }

  void run() const {
    if (!in_tiles()) return run_plain();
    with_forward_tile<2>(a, large(), [&]<class Tile>() {
      const TileGrid grid = tiles<Tile>();
      const int64_t count = dy.shape[0] * grid.rows * grid.columns, parts = parts_of(count);
      const WgradArgs args = {.x = forward_input(call, x, Tile::Window::kStep),
                              .dy = dy.as<float>(),
                              .dy_ld = dy.ld,
                              .height = static_cast<int>(dy.shape[1]),
                              .width = static_cast<int>(dy.shape[2]),
                              .count = count,
                              .tiles = grid,
                              .merge = merge(parts, groups, Tile::kTaps * kGroup, Tile::kThreads)};
      cuda::launch_dependent(*call.exec, "depthwise_wgrad", depthwise_wgrad<Tile>,
                             dim3(static_cast<unsigned>(parts), static_cast<unsigned>(groups)),
                             dim3(Tile::kThreads), 0, args);
    });
  }

  void run_plain() const {
    const PlainWgradArgs args = {.h = {a, 0, x.shape, dy.shape},
                                 .w = {a, 1, x.shape, dy.shape},
                                 .dy = dy.as<float>(),
                                 .x = x.as<float>(),
                                 .dy_ld = dy.ld,
                                 .x_ld = x.ld,
                                 .images = x.shape[0],
                                 .channels = channels,
                                 .parts = plain_parts(),
                                 .load = cuda::device_loader(call, a.load, 2),
                                 .merge = merge(plain_parts(), plain_jobs(), kPlainThreads, kPlainThreads)};
    cuda::launch_dependent(*call.exec, "depthwise_wgrad_plain", depthwise_wgrad_plain,
                           dim3(static_cast<unsigned>(args.parts), static_cast<unsigned>(plain_jobs())),
                           dim3(kPlainThreads), 0, args);
  }

  /// For either way, as the operands' addresses may be unknown yet.
  size_t workspace() const {
    int64_t floats = plain_parts() * plain_jobs() * kPlainThreads;
    if (is_square(a)) {
      with_forward_tile<2>(a, large(), [&]<class Tile>() {
        const TileGrid grid = tiles<Tile>();
        const int64_t parts = parts_of(dy.shape[0] * grid.rows * grid.columns);
        floats = std::max(floats, parts * groups * Tile::kTaps * kGroup);
      });
    }
    return sizeof(float) * static_cast<size_t>(floats);
  }
};

bool accepts_wgrad(const Call& call) { return is_depthwise(call, call.in[1], call.in[0]); }
void run_wgrad(const Call& call) { Wgrad(call).run(); }
size_t wgrad_workspace(const Call& call) { return Wgrad(call).workspace(); }

}  // namespace

constinit const Impl kConv2dWgradDepthwiseCuda = {"depthwise", accepts_wgrad, run_wgrad, wgrad_workspace};

}  // namespace mixop::kernels
