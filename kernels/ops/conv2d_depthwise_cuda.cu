// Depthwise convolutions and their data gradients. Square kernels of 3 and 5 with stride and dilation 1 and 2 run
// over a tile in shared memory; anything else one thread an element.
#include <algorithm>

#include "kernels/ops/conv2d_depthwise_plain.cuh"
#include "kernels/ops/conv2d_depthwise_tile.cuh"
#include "kernels/ops/conv2d_impls_cuda.h"

namespace mixop::kernels {
namespace {

/// The operand that is written, masked by [t(mask) > 0] when there is a mask.
struct DepthwiseOutput {
  float* data;
  int64_t ld;
  int height, width;
  bool add;
  const float* mask;
  int64_t mask_ld;
  cuda::DeviceLoader mask_load;
};

struct StencilArgs {
  DepthwiseInput in;
  const float* w;
  bool reversed;  ///< filter element t is w[taps - 1 - t]
  DepthwiseOutput out;
  TileGrid tiles;
  int groups;  ///< blocks along the channels
};

__device__ __forceinline__ float4 masked(float4 v, float4 t) {
  return make_float4(t.x <= 0 ? 0 : v.x, t.y <= 0 ? 0 : v.y, t.z <= 0 ? 0 : v.z, t.w <= 0 ? 0 : v.w);
}

/// Writes row h of a strip's outputs. What it reads is read before anything is written, so that a thread waits
/// once.
template <class Tile, int kWidth>
__device__ __forceinline__ void write_row(const DepthwiseOutput& out, TilePlace place,
                                          const typename Tile::Strip& strip, int h, int c, float4 (&v)[kWidth]) {
  constexpr int kPhases = Tile::Window::kPhases;
  const int64_t row = (place.image * out.height + h) * out.width;
  const auto column = [&](int p) {
    return (place.column + strip.cell_column(p / kPhases)) * kPhases + p % kPhases;
  };
  const auto read = [&](const float* from, int64_t ld, int p) {
    const bool inside = h < out.height && column(p) < out.width;
    return inside ? cuda::load4(from + (row + column(p)) * ld + c) : make_float4(0, 0, 0, 0);
  };
  if (out.mask) {
    const Transform4 t(out.mask_load, c);
    float4 x[kWidth];
#pragma unroll
    for (int p = 0; p < kWidth; ++p) x[p] = read(out.mask, out.mask_ld, p);
#pragma unroll
    for (int p = 0; p < kWidth; ++p) v[p] = masked(v[p], t(x[p]));
  }
  if (out.add) {
    float4 old[kWidth];
#pragma unroll
    for (int p = 0; p < kWidth; ++p) old[p] = read(out.data, out.ld, p);
#pragma unroll
    for (int p = 0; p < kWidth; ++p) v[p] = cuda::add4(v[p], old[p]);
  }
#pragma unroll
  for (int p = 0; p < kWidth; ++p)
    if (h < out.height && column(p) < out.width) cuda::store4(out.data + (row + column(p)) * out.ld + c, v[p]);
}

/// out[cell, phase, c] = sum_q in[window element q of the cell, c] * w[filter(phase, q), c]. A thread owns a strip
/// of cells and 4 channels.
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads) depthwise_stencil(const StencilArgs a) {
  cuda::wait_for_earlier();
  using Window = typename Tile::Window;
  constexpr int kPhases = Window::kPhases, kTaps = Tile::kTaps;
  constexpr int kFilter = kTaps * kGroup, kPart = cuda::ceil_div(kFilter, Tile::kThreads);  // of one thread
  MIXOP_SHARED(float, tile, Tile::kFloats);
  MIXOP_SHARED(float, weights, kFilter);
  const int group = static_cast<int>(blockIdx.x) % a.groups;
  const TilePlace place = a.tiles.place(blockIdx.x / a.groups, Tile::kCells);
  float filter[kPart];
#pragma unroll
  for (int b = 0; b < kPart; ++b) {
    const int i = static_cast<int>(threadIdx.x) + b * Tile::kThreads;
    const int t = i / kGroup, c = group * kGroup + i % kGroup;
    const bool present = i < kFilter && c < a.in.channels;
    filter[b] = present ? a.w[(a.reversed ? kTaps - 1 - t : t) * a.in.channels + c] : 0.0f;
  }
  stage_tile<Tile>(tile, a.in, place, group);
#pragma unroll
  for (int b = 0; b < kPart; ++b) {
    const int i = static_cast<int>(threadIdx.x) + b * Tile::kThreads;
    if (i < kFilter) weights[i] = filter[b];
  }
  __syncthreads();

  const typename Tile::Strip strip(static_cast<int>(threadIdx.x));
  const int base = strip.base() * kGroup + strip.channel;
  float4 sum[Tile::kRows][kPhases][kColumns * kPhases];
#pragma unroll
  for (auto& row : sum)
#pragma unroll
    for (auto& phase : row)
#pragma unroll
      for (float4& v : phase) v = make_float4(0, 0, 0, 0);

#pragma unroll
  for (int j = 0; j < Tile::kRowsIn; ++j) {
    float4 x[Tile::kColumnsIn];
#pragma unroll
    for (int q = 0; q < Tile::kColumnsIn; ++q) x[q] = cuda::load4(tile, base + (Tile::row_offset(j) + q) * kGroup);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
#pragma unroll
      for (int e = 0; e < kPhases; ++e) {
        const int dj = j - i * Window::kStep;
        if (dj < 0 || dj >= Window::kSize || Window::filter(e, dj) < 0) continue;
#pragma unroll
        for (int q = 0; q < Window::kSize; ++q) {
#pragma unroll
          for (int f = 0; f < kPhases; ++f) {
            if (Window::filter(f, q) < 0) continue;
            const int t = Window::filter(e, dj) * Window::kKernel + Window::filter(f, q);
            const float4 w = cuda::load4(weights, t * kGroup + strip.channel);
#pragma unroll
            for (int p = 0; p < kColumns; ++p) {
              float4& s = sum[i][e][p * kPhases + f];
              s = cuda::fma4(s, x[p * Window::kStep + q], w);
            }
          }
        }
      }
    }
  }

  const int c = group * kGroup + strip.channel;
  if (c >= a.in.channels) return;
#pragma unroll
  for (int i = 0; i < Tile::kRows * kPhases; ++i) {
    const int h = (place.row + strip.cell_row(i / kPhases)) * kPhases + i % kPhases;
    write_row<Tile>(a.out, place, strip, h, c, sum[i / kPhases][i % kPhases]);
  }
}

/// conv2d or conv2d_dgrad: `in` is read through the filter, `out` is written.
struct Stencil {
  const Call& call;
  const Conv2dAttrs& a;
  bool dgrad;
  const View &in, &w;
  const Out& out;

  Stencil(const Call& c, bool is_dgrad)
      : call(c), a(c.attr<Conv2dAttrs>()), dgrad(is_dgrad), in(c.in[0]), w(c.in[1]), out(c.out[0]) {}

  const float* mask() const { return dgrad && a.mask ? call.in[2].as<float>() : nullptr; }
  int64_t mask_ld() const { return dgrad && a.mask ? call.in[2].ld : 0; }
  /// t of x, or of the mask's operand.
  cuda::DeviceLoader loader() const {
    if (!dgrad) return cuda::device_loader(call, a.load, 2);
    const OnLoad norm = {.norm = a.load.norm, .affine = a.load.affine};
    return cuda::device_loader(call, a.mask ? norm : OnLoad(), 3);
  }
  bool in_tiles() const {
    const bool paired = !dgrad || a.stride[0] == 1 || (keeps_parity(0) && keeps_parity(1));
    return paired && is_square(a) && in_vectors(in) && in_vectors(out) && (!mask() || in_vectors(call.in[2]));
  }
  /// See BackwardWindow.
  bool keeps_parity(int axis) const { return (a.pad_begin[axis] - a.kernel[axis] / 2 * a.dilation[axis]) % 2 == 0; }

  void run() const {
    const bool large = std::max(out.shape[1], out.shape[2]) > 8;
    if (!in_tiles()) run_plain();
    else if (dgrad && a.stride[0] == 2 && a.kernel[0] == 3) run_backward<3>();
    else if (dgrad && a.stride[0] == 2) run_backward<5>();
    else
      with_forward_tile<4>(a, large, [&]<class Tile>() {
        start<Tile>(dgrad ? reversed_input() : forward_input(call, in, Tile::Window::kStep));
      });
  }

  template <int kKernel>
  void run_backward() const {
    if (a.dilation[0] == 1) start_backward<BackwardWindow<kKernel, 1>>();
    else start_backward<BackwardWindow<kKernel, 2>>();
  }
  template <class Window>
  void start_backward() const {
    const auto first = [&](int axis) { return (a.pad_begin[axis] - (a.pad_begin[axis] & 1)) / 2 + Window::kFirst; };
    start<DepthwiseTile<Window, 1, 8, 1, 4>>(dgrad_input(first(0), first(1)));
  }

  /// dy of a data gradient of stride 1: a forward pass with the filter reversed.
  DepthwiseInput reversed_input() const {
    const auto first = [&](int axis) { return a.pad_begin[axis] - (a.kernel[axis] - 1) * a.dilation[axis]; };
    return dgrad_input(first(0), first(1));
  }
  DepthwiseInput dgrad_input(int first_row, int first_column) const {
    return {.data = in.as<float>(),
            .ld = in.ld,
            .height = static_cast<int>(in.shape[1]),
            .width = static_cast<int>(in.shape[2]),
            .channels = static_cast<int>(in.last()),
            .first_row = first_row,
            .first_column = first_column,
            .step = 1,
            .load = {}};
  }

  template <class Tile>
  void start(const DepthwiseInput& input) const {
    const int height = static_cast<int>(out.shape[1]), width = static_cast<int>(out.shape[2]);
    constexpr int kPixels = Tile::kCells * Tile::Window::kPhases;
    const TileGrid tiles = {cuda::ceil_div(height, kPixels), cuda::ceil_div(width, kPixels)};
    const int groups = static_cast<int>(cuda::ceil_div<int64_t>(out.last(), kGroup));
    const StencilArgs args = {.in = input,
                              .w = w.as<float>(),
                              .reversed = dgrad && a.stride[0] == 1,
                              .out = {out.as<float>(), out.ld, height, width, out.write == Write::kAdd, mask(),
                                      mask_ld(), dgrad ? loader() : cuda::DeviceLoader()},
                              .tiles = tiles,
                              .groups = groups};
    const auto blocks = static_cast<unsigned>(out.shape[0] * tiles.rows * tiles.columns * groups);
    cuda::launch_dependent(*call.exec, "depthwise_stencil", depthwise_stencil<Tile>, dim3(blocks),
                           dim3(Tile::kThreads), 0, args);
  }

  void run_plain() const {
    const Shape &x = dgrad ? out.shape : in.shape, &y = dgrad ? in.shape : out.shape;
    const PlainArgs args = {.h = {a, 0, x, y},
                            .w = {a, 1, x, y},
                            .in = in.as<float>(),
                            .in_ld = in.ld,
                            .filter = w.as<float>(),
                            .out = out.as<float>(),
                            .out_ld = out.ld,
                            .elements = out.shape.elements(),
                            .channels = out.last(),
                            .add = out.write == Write::kAdd,
                            .mask = mask(),
                            .mask_ld = mask_ld(),
                            .load = loader()};
    constexpr int kThreads = 256;
    cuda::launch_dependent(*call.exec, "depthwise_plain", dgrad ? depthwise_plain<true> : depthwise_plain<false>,
                           cuda::grid_for(args.elements, kThreads), dim3(kThreads), 0, args);
  }
};

bool accepts_forward(const Call& call) { return is_depthwise(call, call.in[0], call.out[0]); }
bool accepts_dgrad(const Call& call) { return is_depthwise(call, call.out[0], call.in[0]); }

void run_forward(const Call& call) { Stencil(call, false).run(); }
void run_dgrad(const Call& call) { Stencil(call, true).run(); }

}  // namespace

constinit const Impl kConv2dDepthwiseCuda = {"depthwise", accepts_forward, run_forward};
constinit const Impl kConv2dDgradDepthwiseCuda = {"depthwise", accepts_dgrad, run_dgrad};

}  // namespace mixop::kernels
