// Statistics of z from the moments of its parts, without a kernel of their own: of about the root of all tiles the
// block that comes last merges their parts, of those groups the one that comes last merges the groups. A launch
// ends two short merges after its last tile, and which block does them does not change a bit.
#pragma once

#include "kernels/core/cuda/tickets.cuh"
#include "kernels/ops/separable_forward_units.cuh"

namespace mixop::kernels {
namespace {

/// f(channel, moments) of the union of `count` sets, of which set p of channel k is sets[p * channels + k], by the
/// formula of Chan, Golub and LeVeque for many sets at once:
///   mean = o + S / n,  n var = sum (m2_p + n_p d_p^2) - S^2 / n  with d_p = mean_p - o, S = sum n_p d_p
/// about the mean o of the first set, which keeps the difference harmless. As many lanes as there are threads share
/// a channel.
template <int kThreads, class Set, class F>
__device__ __forceinline__ void merge_moments(const Set* sets, int count, int channels, F&& f) {
  int lanes = cuda::kWarp;
  while (lanes > 1 && kThreads / lanes < channels) lanes /= 2;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  for (int first = 0; first < channels; first += kThreads / lanes) {
    const int k = first + static_cast<int>(threadIdx.x) / lanes;
    const bool present = k < channels;
    const double origin = present ? static_cast<double>(sets[k].mean) : 0.0;
    double n = 0, shifts = 0, squares = 0;
#pragma unroll 4
    for (int p = lane; p < count; p += lanes) {
      const Set m = present ? sets[int64_t{p} * channels + k] : Set{0, 0, 0};
      const double d = m.mean - origin;
      n += m.n;
      shifts += m.n * d;
      squares += m.m2 + m.n * d * d;
    }
    for (int offset = lanes / 2; offset > 0; offset /= 2) {
      n += __shfl_xor_sync(0xFFFFFFFFu, n, offset);
      shifts += __shfl_xor_sync(0xFFFFFFFFu, shifts, offset);
      squares += __shfl_xor_sync(0xFFFFFFFFu, squares, offset);
    }
    if (!present || lane > 0) continue;
    f(k, MergedMoments{n, origin + shifts / n, max(squares - shifts * (shifts / n), 0.0)});
  }
}

/// To be called by all threads of every block of a unit, when the parts of its tile are written.
template <int kThreads>
__device__ __forceinline__ void finish_statistics(const SeparableForwardUnit& u, unsigned* tickets, int tile) {
  const SeparableStatistics& s = u.statistics;
  if (!s.part) return;
  const int group = tile / s.tiles_of_group, first = group * s.tiles_of_group, channels = u.out_channels;
  const int tiles = min(s.tiles_of_group, s.tiles - first), groups = s.groups();
  unsigned* const ticket = tickets + s.ticket;
  if (!cuda::last_block(ticket + 1 + group, static_cast<unsigned>(tiles * u.across))) return;
  const int part = first * s.parts_of_tile;
  merge_moments<kThreads>(s.part + int64_t{part} * channels, min(tiles * s.parts_of_tile, s.parts - part), channels,
                          [&](int k, MergedMoments m) { s.merged[int64_t{group} * channels + k] = m; });
  if (!cuda::last_block(ticket, static_cast<unsigned>(groups))) return;
  merge_moments<kThreads>(s.merged, groups, channels, [&](int k, MergedMoments m) {
    const double v = m.m2 / m.n;
    const float mean = static_cast<float>(m.mean), biased = static_cast<float>(v);
    s.mean[k] = mean;
    s.var[k] = biased;
    s.rstd[k] = static_cast<float>(1 / sqrt(v + s.eps));
    if (!s.running_mean) return;
    const double keep = 1 - s.momentum, unbiased = m.n > 1 ? m.n / (m.n - 1) : 1;
    s.running_mean[k] = static_cast<float>(keep * s.running_mean[k] + s.momentum * mean);
    s.running_var[k] = static_cast<float>(keep * s.running_var[k] + s.momentum * unbiased * biased);
  });
}

}  // namespace
}  // namespace mixop::kernels
