// pool_stats on CUDA: pooled values go to z and, from registers, into sums of their channel; one partial a block
// and channel, merged by a second kernel. The sums are taken about z's first pixel, which every thread finds for
// itself.
#include <algorithm>

#include "kernels/core/cuda/channel_sums.cuh"
#include "kernels/ops/pool_stats.h"
#include "kernels/ops/pool_windows.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

constexpr int64_t kMostPartials = 512;

/// Items are pixels of z over [N, Ho, Wo]: a thread owns some of them, of a pack of channels.
template <bool kMax, int kWidth>
__global__ void __launch_bounds__(kColumnThreads)
    pool_stats_plain(Columns k, PoolShape s, const float* __restrict__ x, int ldx, float* __restrict__ z, int ldz,
                     double* __restrict__ partials) {
  const ColumnPlace<kWidth> at(k);
  const int pixels = s.v.outputs * s.h.outputs;
  double sums[2][kWidth] = {};
  if (at.row < at.end) {
    const auto origin = pool_window<kMax, kWidth>(s, x + at.c, ldx, 0, 0);
    for (int64_t item = at.row; item < at.end; item += at.step) {
      const int i = static_cast<int>(item), n = i / pixels, pixel = i % pixels;
      const float* image = image_of(x, n, s.v.size * s.h.size, ldx) + at.c;
      const Pack<kWidth> v[1] = {
          pool_window<kMax, kWidth>(s, image, ldx, pixel / s.h.outputs, pixel % s.h.outputs)};
      store_pack(image_of(z, n, pixels, ldz) + pixel * ldz + at.c, v[0]);
      add_moments(v, 1, origin, sums);
    }
  }
  store_partials(k, sums, partials);
}

/// The same for 3x3 windows: items are strips of kStrip pixels of z below each other.
template <bool kMax, int kStride>
__global__ void __launch_bounds__(kColumnThreads, kMax || kStride == 1 ? 2 : 1)
    pool_stats_3x3(Columns k, PoolShape shape, const float* __restrict__ x, int ldx, float* __restrict__ z, int ldz,
                   double* __restrict__ partials) {
  const PoolShape s = as_3x3<kStride>(shape);
  const ColumnPlace<4> at(k);
  const int strips = ceil_div(s.v.outputs, kStrip) * s.h.outputs;
  double sums[2][4] = {};
  if (at.row < at.end) {
    const auto origin = pool_window<kMax, 4>(s, x + at.c, ldx, 0, 0);
    for (int64_t item = at.row; item < at.end; item += at.step) {
      const int i = static_cast<int>(item), n = i / strips, strip = i % strips;
      const int first = strip / s.h.outputs * kStrip, xo = strip % s.h.outputs;
      Pack<4> v[kStrip];
      pool_strip<kMax, kStride>(s, image_of(x, n, s.v.size * s.h.size, ldx) + at.c, ldx, first, xo, v);
      float* out = image_of(z, n, s.v.outputs * s.h.outputs, ldz) + at.c;
      const int count = min(kStrip, s.v.outputs - first);
#pragma unroll
      for (int o = 0; o < kStrip; ++o)
        if (o < count) store_pack(out + ((first + o) * s.h.outputs + xo) * ldz, v[o]);
      add_moments(v, count, origin, sums);
    }
  }
  store_partials(k, sums, partials);
}

Columns pixel_columns(const View& z, int width) { return {z.rows(), z.last(), width, 4, kMostPartials}; }
Columns strip_columns(const View& z) {
  return {z.shape[0] * ceil_div<int64_t>(z.shape[1], kStrip) * z.shape[2], z.last(), 4, 1, kMostPartials};
}

bool accepts_3x3(const Call& call) {
  return all_float32(call) && call.in[0].last() % 4 == 0 && is_3x3(call.attr<PoolStatsAttrs>().pool);
}

/// Enough for every kernel: whether rows are aligned shows only when the call is bound to memory.
size_t partials_bytes(const Call& call) {
  const View& z = call.out[0];
  const unsigned blocks =
      std::max({pixel_columns(z, 4).grid.x, pixel_columns(z, 1).grid.x, strip_columns(z).grid.x});
  return size_t{2} * sizeof(double) * blocks * static_cast<size_t>(z.last());
}

template <bool kMax>
void run(const Call& call, bool strips) {
  const auto& a = call.attr<PoolStatsAttrs>();
  const View &x = call.in[0], &z = call.out[0];
  const PoolShape s(a.pool, x.shape);
  MIXOP_CHECK(z.rows() <= std::numeric_limits<int>::max(), "pool_stats: ", z.shape, " has too many pixels");
  double* partials = call.exec->scratch<double>();
  const bool aligned = aligned4(x) && aligned4(z);
  const auto start = [&](const char* name, auto kernel, const Columns& k) {
    launch(*call.exec, name, kernel, k.grid, kColumnThreads, 0, k, s, x.as<float>(), image_ld(x), z.as<float>(),
           image_ld(z), partials);
    launch(*call.exec, "bn_stats_merge", bn_stats_merge, merge_grid(k.channels), kMergeThreads, 0, partials,
           z.as<float>(), k.grid.x, k.channels, z.rows(), a.norm.eps,
           RunningPairs(a.norm, call.in.data() + 1, z.rows()), call.out[1].as<float>(), call.out[2].as<float>(),
           call.out[3].as<float>());
  };
  if (strips && aligned)
    return with_stride(
        a.pool, [&]<int kStride>() { start("pool_stats_3x3", pool_stats_3x3<kMax, kStride>, strip_columns(z)); });
  with_width(aligned, [&]<int kWidth>() {
    start("pool_stats_plain", pool_stats_plain<kMax, kWidth>, pixel_columns(z, kWidth));
  });
}
void run_either(const Call& call, bool strips) {
  call.attr<PoolStatsAttrs>().max ? run<true>(call, strips) : run<false>(call, strips);
}
void plain(const Call& call) { run_either(call, false); }
void strips(const Call& call) { run_either(call, true); }

constexpr Impl kPoolStats[] = {{"3x3", accepts_3x3, strips, partials_bytes},
                               {"plain", all_float32, plain, partials_bytes}};
}  // namespace

std::span<const Impl> pool_stats_cuda() { return kPoolStats; }
}  // namespace mixop::kernels
