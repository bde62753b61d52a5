// Dense and grouped convolutions as matrix products in float32; a 1x1 convolution is the one with a single tap.
#include "kernels/core/cuda/launch.cuh"
#include "kernels/ops/conv2d_gemm.cuh"
#include "kernels/ops/conv2d_impls_cuda.h"
#include "kernels/ops/conv2d_wgrad.cuh"

namespace mixop::kernels {
namespace {

using cuda::aligned4;
using cuda::ceil_div;

/// Float32, pixels that an int can number, and filters that Axis can describe.
bool fits(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  const auto countable = [](const View& v) { return v.shape.rows() < (1 << 30); };
  return all_float32(call) && conv2d_fits_axis(a) && countable(call.in[0]) && countable(call.in[1]) &&
         countable(call.out[0]);
}

/// Groups of few channels would leave most of a tile empty.
bool wide_groups(const Conv2dAttrs& a, int64_t in, int64_t out) {
  return a.groups == 1 || std::min(in, out) / a.groups >= 8;
}

bool fits_forward(const Call& call) {
  return fits(call) && wide_groups(call.attr<Conv2dAttrs>(), call.in[0].last(), call.out[0].last());
}
bool fits_dgrad(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  return fits_forward(call) && std::max(a.stride[0], a.stride[1]) <= kMaxPhases;
}
bool fits_wgrad(const Call& call) {
  return fits(call) && wide_groups(call.attr<Conv2dAttrs>(), call.in[1].last(), call.in[0].last());
}

bool is_pointwise(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  return a.kernel == std::array{1, 1} && a.groups == 1;
}
bool fits_pointwise(const Call& call) { return fits_forward(call) && is_pointwise(call); }
bool fits_pointwise_dgrad(const Call& call) { return fits_dgrad(call) && is_pointwise(call); }
bool fits_pointwise_wgrad(const Call& call) { return fits_wgrad(call) && is_pointwise(call); }

/// What the forward product and the one of the data gradient have in common.
GemmConv product_of(const Call& call, bool dgrad) {
  const auto& a = call.attr<Conv2dAttrs>();
  const View &in = call.in[0], &w = call.in[1];
  const Out& out = call.out[0];
  GemmConv p{};
  p.in = in.as<float>(), p.w = w.as<float>(), p.out = out.as<float>();
  p.in_ld = in.ld, p.out_ld = out.ld;
  p.images = static_cast<int>(in.shape[0]);
  p.in_channels = static_cast<int>(in.last() / a.groups);
  p.out_channels = static_cast<int>(out.last() / a.groups);
  p.cg = static_cast<int>(w.shape[2]), p.w_ld = static_cast<int>(w.shape[3]);
  p.kg = static_cast<int>(w.shape[3] / a.groups), p.kernel_width = a.kernel[1];
  p.dgrad = dgrad, p.add = dgrad && out.write == Write::kAdd;
  p.in_wide = aligned4(in.data, in.ld, p.in_channels);
  p.w_wide = aligned4(w.data, p.w_ld, p.kg);
  p.out_wide = aligned4(out.data, out.ld, p.out_channels);
  const Gathers gathers{&a, dgrad, {in.shape[1], in.shape[2]}, {out.shape[1], out.shape[2]}};
  p.across = dgrad ? a.stride[1] : 1;
  for (int64_t g = 0; g < gathers.size(); ++g) {
    p.rows[g / p.across] = cuda::tap_axis(gathers.axis(g, 0));
    p.cols[g % p.across] = cuda::tap_axis(gathers.axis(g, 1));
  }
  return p;
}

template <int kOutQuads, int kPixels, int kDepth>
void start(const Call& call, GemmConv p) {
  constexpr int kTile = kGemmThreads / kOutQuads * kPixels;
  const auto& a = call.attr<Conv2dAttrs>();
  // Phase 0 has the most pixels.
  const int64_t pixels = int64_t{p.images} * p.rows[0].count * p.cols[0].count;
  p.out_tiles = ceil_div(p.out_channels, 4 * kOutQuads);
  const dim3 grid(static_cast<unsigned>(ceil_div<int64_t>(pixels, kTile)),
                  static_cast<unsigned>(p.out_tiles * a.groups), p.dgrad ? a.stride[0] * a.stride[1] : 1);
  cuda::launch_dependent(*call.exec, "conv2d_gemm_kernel", conv2d_gemm_kernel<kOutQuads, kPixels, kDepth>, grid,
                         dim3(kGemmThreads), 0, p);
}

/// Chunks of 32 hide more of the memory's latency, those of 16 waste less of a short sum. More pixels a thread need
/// fewer reads of shared memory but leave fewer threads.
template <int kOutQuads>
void start(const Call& call, const GemmConv& p) {
  int most = 0;
  for (const auto& rows : p.rows)
    for (const auto& cols : p.cols) most = std::max(most, rows.taps * cols.taps);
  const int depth = most * ceil_div(p.in_channels, 4) * 4;
  const bool large = kOutQuads == 16 && call.out[0].shape.rows() >= (1 << 14);
  if (depth % 32 != 0 && depth <= 96) start<kOutQuads, 4, 16>(call, p);
  else if (large) start<16, 8, 32>(call, p);
  else start<kOutQuads, 4, 32>(call, p);
}

void run_product(const Call& call, const GemmConv& p) {
  if (p.out_channels <= 16) start<4>(call, p);
  else if (p.out_channels <= 32) start<8>(call, p);
  else start<16>(call, p);
}

void run_forward(const Call& call) {
  GemmConv p = product_of(call, false);
  p.t = cuda::device_loader(call, call.attr<Conv2dAttrs>().load, 2);
  run_product(call, p);
}

void run_dgrad(const Call& call) {
  GemmConv p = product_of(call, true);
  const auto& a = call.attr<Conv2dAttrs>();
  if (a.mask) {
    const View& x0 = call.in[2];
    OnLoad norm = a.load;
    norm.relu = false;
    p.t = cuda::device_loader(call, norm, 3);
    p.mask = x0.as<float>(), p.mask_ld = x0.ld;
    p.out_wide = p.out_wide && aligned4(x0.data, x0.ld, p.out_channels);
  }
  run_product(call, p);
}

/// How the weight gradient is cut: by shapes alone. About 512 blocks, each at least one step of pixels, and
/// partials of at most 16 MB.
struct WgradPlan {
  int row_quads, out_quads;  ///< of a block's tile
  int64_t groups;
  int row_tiles, out_tiles, pixels_per_split;
  cuda::MergeTree splits;

  explicit WgradPlan(const Call& call) {
    constexpr int64_t kBlocks = 512, kPartialFloats = 4 << 20;
    const auto& a = call.attr<Conv2dAttrs>();
    const Shape &dw = call.out[0].shape, &dy = call.in[0].shape;
    const int64_t quads = dw[0] * dw[1] * ceil_div<int64_t>(dw[2], 4);
    const int64_t outs = ceil_div<int64_t>(dw[3] / a.groups, 4);
    const auto tile = [](int64_t n) { return n <= 4 ? 4 : n <= 8 ? 8 : 16; };
    row_quads = tile(quads), out_quads = tile(outs);
    row_tiles = static_cast<int>(ceil_div<int64_t>(quads, row_quads));
    out_tiles = static_cast<int>(ceil_div<int64_t>(outs, out_quads));
    groups = a.groups;
    const int64_t pixels = dy.rows();
    const int64_t want =
        std::min(ceil_div(kBlocks, tiles()), std::max<int64_t>(1, kPartialFloats / (tiles() * size())));
    const int64_t step = wgrad_step(row_quads, out_quads);
    const int64_t each = ceil_div(ceil_div(pixels, want), step) * step;
    pixels_per_split = static_cast<int>(each);
    splits = cuda::MergeTree(ceil_div(pixels, each), size(), kWgradThreads);
  }
  int size() const { return 16 * row_quads * out_quads; }  ///< of a tile
  int64_t tiles() const { return groups * row_tiles * out_tiles; }
};

template <int kRowQuads, int kOutQuads>
void start_wgrad(const Call& call, const GemmWgrad& p, const WgradPlan& plan) {
  const dim3 grid(static_cast<unsigned>(plan.tiles()), static_cast<unsigned>(plan.splits.parts));
  cuda::launch_dependent(*call.exec, "conv2d_wgrad_gemm_kernel", conv2d_wgrad_gemm_kernel<kRowQuads, kOutQuads>,
                         grid, dim3(kWgradThreads), 0, p);
}
template <int kRowQuads>
void start_wgrad(const Call& call, const GemmWgrad& p, const WgradPlan& plan) {
  if (plan.out_quads == 4) start_wgrad<kRowQuads, 4>(call, p, plan);
  else if (plan.out_quads == 8) start_wgrad<kRowQuads, 8>(call, p, plan);
  else start_wgrad<kRowQuads, 16>(call, p, plan);
}

void run_wgrad(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dw = call.out[0];
  const WgradPlan plan(call);
  GemmWgrad p{};
  p.x = x.as<float>(), p.dy = dy.as<float>();
  p.out = dw.as<float>(), p.partials = call.exec->scratch<float>();
  p.splits = plan.splits;
  p.tickets = cuda::tickets_for(*call.exec, plan.tiles() * plan.splits.tickets());
  p.x_ld = x.ld, p.dy_ld = dy.ld;
  p.cg = static_cast<int>(dw.shape[2]), p.k = static_cast<int>(dw.shape[3]);
  p.kg = static_cast<int>(dw.shape[3] / a.groups);
  p.row_tiles = plan.row_tiles, p.out_tiles = plan.out_tiles;
  p.pixels = static_cast<int>(dy.rows()), p.pixels_per_split = plan.pixels_per_split;
  p.same_pixels = a.kernel == std::array{1, 1} && a.stride == std::array{1, 1} && a.pad_begin == std::array{0, 0} &&
                  a.pad_end == std::array{0, 0};
  p.add = dw.write == Write::kAdd;
  p.x_wide = aligned4(x.data, x.ld, p.cg), p.dy_wide = aligned4(dy.data, dy.ld, p.kg);
  p.out_wide = aligned4(p.out, p.k, p.kg);
  p.t = cuda::device_loader(call, a.load, 2);
  p.rows = cuda::tap_axis(forward_axis(a, 0, x.shape[1], dy.shape[1]));
  p.cols = cuda::tap_axis(forward_axis(a, 1, x.shape[2], dy.shape[2]));
  if (plan.row_quads == 4) start_wgrad<4>(call, p, plan);
  else if (plan.row_quads == 8) start_wgrad<8>(call, p, plan);
  else start_wgrad<16>(call, p, plan);
}

size_t wgrad_workspace(const Call& call) {
  const WgradPlan plan(call);
  const int parts = plan.splits.parts;
  return parts > 1 ? sizeof(float) * static_cast<size_t>(plan.tiles() * parts * plan.size()) : 0;
}

}  // namespace

constinit const Impl kConv2dPointwiseCuda = {"pointwise", fits_pointwise, run_forward};
constinit const Impl kConv2dDgradPointwiseCuda = {"pointwise", fits_pointwise_dgrad, run_dgrad};
constinit const Impl kConv2dWgradPointwiseCuda = {"pointwise", fits_pointwise_wgrad, run_wgrad, wgrad_workspace};
constinit const Impl kConv2dImplicitGemmCuda = {"implicit_gemm", fits_forward, run_forward};
constinit const Impl kConv2dDgradImplicitGemmCuda = {"implicit_gemm", fits_dgrad, run_dgrad};
constinit const Impl kConv2dWgradImplicitGemmCuda = {"implicit_gemm", fits_wgrad, run_wgrad, wgrad_workspace};

}  // namespace mixop::kernels
