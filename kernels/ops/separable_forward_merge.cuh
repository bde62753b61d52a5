// Statistics of z of all units of a call from the moments of their parts.
#pragma once

#include <array>

#include "kernels/core/cuda/reduce.cuh"
#include "kernels/ops/separable_forward_units.cuh"

namespace mixop::kernels {
namespace {

struct SeparableStatistics {
  const cuda::Moments* partial;
  float *mean, *var, *rstd, *running_mean, *running_var;
  double eps, momentum;
  int parts, channels;
  int number;  ///< as in SeparableForwardUnit
};
struct AllSeparableStatistics {
  const int* active = nullptr;  ///< as in SeparableForwardUnits
  std::array<SeparableStatistics, kMostSeparableUnits> unit;
};
static_assert(sizeof(AllSeparableStatistics) <= 4096);

constexpr int kMergeThreads = 256, kMergeLanes = kMergeThreads / kSeparableGroup;

/// mean, var and rstd of unit blockIdx.x, channels blockIdx.y * 16 and on, from the moments of its parts by the
/// formula of Chan, Golub and LeVeque for many sets at once:
///   mean = o + S / n,  n var = sum (m2_p + n_p d_p^2) - S^2 / n  with d_p = mean_p - o, S = sum n_p d_p
/// about the mean o of the first part, which keeps the difference harmless. 16 lanes share the parts of a channel.
__global__ void __launch_bounds__(kMergeThreads) separable_merge(const AllSeparableStatistics units) {
  MIXOP_SHARED(double, sums, kMergeThreads * 3);
  const SeparableStatistics& u = units.unit[blockIdx.x];
  if (units.active && !units.active[u.number]) return;
  const int thread = static_cast<int>(threadIdx.x), lane = thread / kSeparableGroup;
  const int k = static_cast<int>(blockIdx.y) * kSeparableGroup + thread % kSeparableGroup;
  const bool present = k < u.channels;
  const double origin = present ? u.partial[k].mean : 0;
  double n = 0, shifts = 0, squares = 0;
  for (int p = lane; present && p < u.parts; p += kMergeLanes) {
    const cuda::Moments m = u.partial[int64_t{p} * u.channels + k];
    const double d = m.mean - origin;
    n += m.n;
    shifts += m.n * d;
    squares += m.m2 + m.n * d * d;
  }
  sums[3 * thread] = n, sums[3 * thread + 1] = shifts, sums[3 * thread + 2] = squares;
  __syncthreads();
  if (lane > 0 || !present) return;
  for (int other = thread + kSeparableGroup; other < kMergeThreads; other += kSeparableGroup)
    n += sums[3 * other], shifts += sums[3 * other + 1], squares += sums[3 * other + 2];
  const double v = max((squares - shifts * (shifts / n)) / n, 0.0);
  const float mean = static_cast<float>(origin + shifts / n), biased = static_cast<float>(v);
  u.mean[k] = mean;
  u.var[k] = biased;
  u.rstd[k] = static_cast<float>(1 / sqrt(v + u.eps));
  if (!u.running_mean) return;
  const double keep = 1 - u.momentum, unbiased = n > 1 ? n / (n - 1) : 1;
  u.running_mean[k] = static_cast<float>(keep * u.running_mean[k] + u.momentum * mean);
  u.running_var[k] = static_cast<float>(keep * u.running_var[k] + u.momentum * unbiased * biased);
}

}  // namespace
}  // namespace mixop::kernels
