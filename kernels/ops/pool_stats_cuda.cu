// pool_stats on CUDA, all units of a call at once: pooled values go to z and, from registers, into sums of their
// channel; one partial a block and channel, merged by the block that comes last of its channels. The sums are taken
// about z's first pixel, which every thread finds for itself; they are those of z as it is stored.
#include <algorithm>
#include <vector>

#include "kernels/core/cuda/channel_sums.cuh"
#include "kernels/core/cuda/tickets.cuh"
#include "kernels/ops/pool_stats.h"
#include "kernels/ops/pool_windows.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

constexpr int64_t kMostPartials = 512;
constexpr size_t kMostPoolUnits = 10;  // of a launch; their arguments fit the 4 KiB that every device takes

struct PoolUnit {
  PoolShape shape{PoolAttrs{}, Shape{0, 0, 0, 0}};
  Columns columns{0, 0, 1, 1, 1};
  DeviceLoader load;
  RunningPairs running{BatchNormAttrs{}, nullptr, 0};
  Images x, z;
  float *mean = nullptr, *var = nullptr, *rstd = nullptr;
  double* partials = nullptr;
  unsigned* tickets = nullptr;  ///< one for each row of blocks
  double rows = 0, eps = 0;
  bool max = false;

  /// Of x or z.
  __device__ __forceinline__ int cells() const { return shape.v.size * shape.h.size; }
  __device__ __forceinline__ int windows() const { return shape.v.outputs * shape.h.outputs; }
};

/// Unit blockIdx.z owns the blocks of its columns.grid.
struct PoolUnits {
  PoolUnit unit[kMostPoolUnits];
};
static_assert(sizeof(PoolUnits) <= 4096);

__device__ __forceinline__ bool beyond(const PoolUnit& u) {
  return blockIdx.x >= u.columns.grid.x || blockIdx.y >= u.columns.grid.y;
}

/// mean = k + S / M, var = (Q - S^2 / M) / M, rstd = 1 / sqrt(var + eps) of the sums S, Q (add_moments) of all
/// blocks with these channels, k being z's first pixel; the running statistics move. A warp owns a channel.
template <int kWidth>
__device__ __forceinline__ void merge_statistics(const PoolUnit& u, double (&sums)[2][kWidth]) {
  const Columns& k = u.columns;
  const int blocks = static_cast<int>(k.grid.x), own = k.columns * kWidth;
  reduce_columns(k, sums, [&](int channel, int which, double sum) {
    u.partials[(static_cast<int64_t>(channel) * blocks + blockIdx.x) * 2 + which] = sum;
  });
  if (!last_block(u.tickets + blockIdx.y, k.grid.x)) return;
  const int thread = static_cast<int>(threadIdx.x), first = static_cast<int>(blockIdx.y) * own;
  for (int c = first + thread / kWarp; c < min(first + own, k.channels); c += kColumnThreads / kWarp) {
    const double* partials = u.partials + static_cast<int64_t>(c) * blocks * 2;
    double s = 0, q = 0;
    for (int i = thread % kWarp; i < blocks; i += kWarp) {
      s += partials[2 * i];
      q += partials[2 * i + 1];
    }
    s = warp_sum(s);
    q = warp_sum(q);
    if (thread % kWarp != 0) continue;
    double v = (q - s * (s / u.rows)) / u.rows;
    if (v < 0) v = 0;
    const float m = static_cast<float>(u.z.load(c) + s / u.rows), biased = static_cast<float>(v);
    u.mean[c] = m;
    u.var[c] = biased;
    u.rstd[c] = static_cast<float>(1 / sqrt(v + u.eps));
    u.running.move(c, m, biased);
  }
}

/// Items are pixels of z over [N, Ho, Wo]: a thread owns some of them, of a pack of channels.
template <bool kMax, class X, int kWidth>
__device__ __forceinline__ void pool_pixels(const PoolUnit& u, const X* x, double (&sums)[2][kWidth]) {
  const PoolShape& s = u.shape;
  const ColumnPlace<kWidth> at(u.columns);
  if (at.row >= at.end) return;
  const NormOnLoad<kWidth> t(u.load, at.c);
  const auto origin = rounded(u.z, pool_window<kMax, kWidth>(s, x + at.c, u.x.ld, 0, 0, t));
  for (int64_t item = at.row; item < at.end; item += at.step) {
    const int i = static_cast<int>(item), n = i / u.windows(), pixel = i % u.windows();
    const X* const image = image_of(x, n, u.cells(), u.x.ld) + at.c;
    const Pack<kWidth> v[1] = {
        rounded(u.z, pool_window<kMax, kWidth>(s, image, u.x.ld, pixel / s.h.outputs, pixel % s.h.outputs, t))};
    store_pack(u.z, u.z.at(n, u.windows(), pixel) + at.c, v[0]);
    add_moments(v, 1, origin, sums);
  }
}

/// The same for 3x3 windows: items are strips of kStrip pixels of z below each other.
template <bool kMax, int kStride, class X>
__device__ __forceinline__ void pool_strips(const PoolUnit& u, const X* x, double (&sums)[2][4]) {
  const PoolShape s = as_3x3<kStride>(u.shape);
  const ColumnPlace<4> at(u.columns);
  const int strips = ceil_div(s.v.outputs, kStrip) * s.h.outputs;
  if (at.row >= at.end) return;
  const NormOnLoad<4> t(u.load, at.c);
  const auto origin = rounded(u.z, pool_window<kMax, 4>(s, x + at.c, u.x.ld, 0, 0, t));
  for (int64_t item = at.row; item < at.end; item += at.step) {
    const int i = static_cast<int>(item), n = i / strips, strip = i % strips;
    const int first = strip / s.h.outputs * kStrip, xo = strip % s.h.outputs;
    Pack<4> v[kStrip];
    pool_strip<kMax, kStride>(s, image_of(x, n, u.cells(), u.x.ld) + at.c, u.x.ld, first, xo, v, t);
    const int count = min(kStrip, s.v.outputs - first);
#pragma unroll
    for (int o = 0; o < kStrip; ++o) {
      v[o] = rounded(u.z, v[o]);
      if (o < count) store_pack(u.z, u.z.at(n, u.windows(), (first + o) * s.h.outputs + xo) + at.c, v[o]);
    }
    add_moments(v, count, origin, sums);
  }
}

template <int kWidth>
__global__ void __launch_bounds__(kColumnThreads, 2) pool_stats_plain(const PoolUnits units) {
  wait_for_earlier();
  const PoolUnit& u = units.unit[blockIdx.z];
  if (beyond(u)) return;
  double sums[2][kWidth] = {};
  with_type(u.x, [&](const auto* x) {
    if (u.max) pool_pixels<true>(u, x, sums);
    else pool_pixels<false>(u, x, sums);
  });
  merge_statistics(u, sums);
}

__global__ void __launch_bounds__(kColumnThreads, 2) pool_stats_3x3(const PoolUnits units) {
  wait_for_earlier();
  const PoolUnit& u = units.unit[blockIdx.z];
  if (beyond(u)) return;
  double sums[2][4] = {};
  with_type(u.x, [&](const auto* x) {
    if (u.shape.v.stride == 1) {
      if (u.max) pool_strips<true, 1>(u, x, sums);
      else pool_strips<false, 1>(u, x, sums);
    } else {
      if (u.max) pool_strips<true, 2>(u, x, sums);
      else pool_strips<false, 2>(u, x, sums);
    }
  });
  merge_statistics(u, sums);
}

Columns pixel_columns(const View& z, int width) { return {z.rows(), z.last(), width, 4, kMostPartials}; }
Columns strip_columns(const View& z) {
  return {z.shape[0] * ceil_div<int64_t>(z.shape[1], kStrip) * z.shape[2], z.last(), 4, 1, kMostPartials};
}
/// Enough for every kernel: whether rows are aligned shows only when the call is bound to memory.
size_t partials_of(const View& z) {
  const unsigned blocks =
      std::max({pixel_columns(z, 4).grid.x, pixel_columns(z, 1).grid.x, strip_columns(z).grid.x});
  return size_t{2} * blocks * static_cast<size_t>(z.last());
}
size_t partials_bytes(const Call& call) {
  size_t partials = 0;
  for (size_t u = 0; u < call.out.size(); u += 4) partials += partials_of(call.out[u]);
  return partials * sizeof(double);
}

bool fits_strips(const PoolStatsUnit& unit, const View& z) { return z.last() % 4 == 0 && is_3x3(unit.pool); }
bool accepts_3x3(const Call& call) {
  const auto& units = call.attr<PoolStatsAttrs>().units;
  if (!all_float32_or_bf16(call)) return false;
  for (size_t u = 0; u < units.size(); ++u)
    if (fits_strips(units[u], call.out[4 * u])) return true;
  return false;
}

/// `at` is the unit's first operand. Without its columns.
PoolUnit unit_of(const Call& call, size_t number, size_t at) {
  const PoolStatsUnit& unit = call.attr<PoolStatsAttrs>().units[number];
  const auto out = call.out.subspan(4 * number, 4);
  const View &x = call.in[at], &z = out[0];
  MIXOP_CHECK(z.rows() <= std::numeric_limits<int>::max(), "pool_stats: ", z.shape, " has too many pixels");
  const auto load_inputs = static_cast<size_t>(unit.load.inputs());
  PoolUnit u;
  u.shape = PoolShape(unit.pool, x.shape);
  u.load = device_loader(call, unit.load, at + 1);
  u.running = RunningPairs(unit.norm, call.in.data() + at + 1 + load_inputs, z.rows());
  u.x = Images(x);
  u.z = Images(z);
  u.mean = out[1].as<float>();
  u.var = out[2].as<float>();
  u.rstd = out[3].as<float>();
  u.rows = static_cast<double>(z.rows());
  u.eps = unit.norm.eps;
  u.max = unit.max;
  return u;
}

/// Units that one kernel takes together.
void launch_units(const Call& call, const char* name, void (*kernel)(PoolUnits), std::vector<PoolUnit> all) {
  for (size_t begin = 0; begin < all.size(); begin += kMostPoolUnits) {
    PoolUnits units;
    const size_t count = std::min(kMostPoolUnits, all.size() - begin);
    dim3 grid(0, 0, static_cast<unsigned>(count));
    unsigned tickets = 0;
    for (size_t i = 0; i < count; ++i) {
      PoolUnit& u = units.unit[i] = all[begin + i];
      u.tickets = call.exec->tickets + tickets;
      tickets += u.columns.grid.y;
      grid.x = std::max(grid.x, u.columns.grid.x);
      grid.y = std::max(grid.y, u.columns.grid.y);
    }
    MIXOP_CHECK(tickets <= kTickets, "pool_stats: the units have too many channels");
    launch_dependent(*call.exec, name, kernel, grid, kColumnThreads, 0, units);
  }
}

void run(const Call& call, bool strips) {
  const auto& attrs = call.attr<PoolStatsAttrs>();
  std::vector<PoolUnit> of_strips, of_packs, of_channels;
  double* partials = call.exec->scratch<double>();
  size_t at = 0;
  for (size_t i = 0; i < attrs.units.size(); at += attrs.units[i].inputs(), ++i) {
    const View &x = call.in[at], &z = call.out[4 * i];
    PoolUnit u = unit_of(call, i, at);
    u.partials = partials;
    partials += partials_of(z);
    const bool aligned = in_fours(x) && in_fours(z), fast = strips && aligned && fits_strips(attrs.units[i], z);
    u.columns = fast ? strip_columns(z) : pixel_columns(z, aligned ? 4 : 1);
    (fast ? of_strips : aligned ? of_packs : of_channels).push_back(u);
  }
  launch_units(call, "pool_stats_3x3", pool_stats_3x3, of_strips);
  launch_units(call, "pool_stats_plain", pool_stats_plain<4>, of_packs);
  launch_units(call, "pool_stats_plain", pool_stats_plain<1>, of_channels);
}
void plain(const Call& call) { run(call, false); }
void strips(const Call& call) { run(call, true); }

constexpr Impl kPoolStats[] = {{"3x3", accepts_3x3, strips, partials_bytes},
                               {"plain", all_float32_or_bf16, plain, partials_bytes}};
}  // namespace

std::span<const Impl> pool_stats_cuda() { return kPoolStats; }
}  // namespace mixop::kernels
