// Two sums a channel: partial ones of each block, merged in block order; and statistics as such sums.
#pragma once

#include "kernels/core/cuda/columns.cuh"
#include "kernels/core/cuda/running.cuh"

namespace mixop::kernels::cuda {

constexpr int kMergeThreads = 128;  // a warp for each channel

/// Leaves a block's two sums in partials[channel][block][2].
template <int kWidth>
__device__ void store_partials(const Columns& k, double (&sums)[2][kWidth], double* partials) {
  reduce_columns(k, sums, [&](int channel, int which, double sum) {
    partials[(static_cast<int64_t>(channel) * gridDim.x + blockIdx.x) * 2 + which] = sum;
  });
}

/// The two sums over all blocks of the channel of this warp.
struct Merged {
  double first = 0, second = 0;

  __device__ Merged(const double* partials, int channel, int blocks) {
    const double* p = partials + static_cast<int64_t>(channel) * blocks * 2;
    for (int i = static_cast<int>(threadIdx.x) % kWarp; i < blocks; i += kWarp) {
      first += p[2 * i];
      second += p[2 * i + 1];
    }
    first = warp_sum(first);
    second = warp_sum(second);
  }
};
__device__ __forceinline__ int merged_channel() {
  return static_cast<int>(blockIdx.x * (kMergeThreads / kWarp) + threadIdx.x / kWarp);
}

inline dim3 merge_grid(int channels) {
  return dim3(static_cast<unsigned>(ceil_div(channels, kMergeThreads / kWarp)));
}

/// Adds n of the numbers v of each channel to sum (x - k), sum (x - k)^2 with k = origin: deviations are taken from
/// the mean of these numbers, and added in double. With k one of all M numbers, (k - mean)^2 <= M var, so the
/// variance that follows loses at most log2(M) of a double's 53 bits.
template <int kTile, int kWidth>
__device__ __forceinline__ void add_moments(const Pack<kWidth> (&v)[kTile], int n, const Pack<kWidth>& origin,
                                            double (&sums)[2][kWidth]) {
  const float count = static_cast<float>(n), inverse = __fdividef(1.0f, count);  // any number near the mean will do
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    float mean = v[0][j], sum = 0, squares = 0;  // relative to a number of the tile: exact when constant
#pragma unroll
    for (int i = 1; i < kTile; ++i) sum += i < n ? v[i][j] - mean : 0.0f;
    mean = fmaf(sum, inverse, mean);
    sum = 0;
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      const float d = i < n ? v[i][j] - mean : 0.0f;
      sum += d;
      squares = fmaf(d, d, squares);
    }
    const double shift = static_cast<double>(mean) - origin[j], shifts = count * shift;
    sums[0][j] += shifts + sum;
    sums[1][j] += squares + shift * (shifts + 2.0 * sum);
  }
}

/// mean = k + S / M, var = (Q - S^2 / M) / M, rstd = 1 / sqrt(var + eps) of the sums S, Q above: a warp owns a
/// channel, and moves its running statistics.
static __global__ void __launch_bounds__(kMergeThreads)
    bn_stats_merge(const double* __restrict__ partials, const float* __restrict__ x, int blocks, int channels,
                   double rows, double eps, RunningPairs running, float* __restrict__ mean, float* __restrict__ var,
                   float* __restrict__ rstd) {
  const int c = merged_channel();
  if (c >= channels) return;
  const Merged sums(partials, c, blocks);
  if (threadIdx.x % kWarp != 0) return;
  double v = (sums.second - sums.first * (sums.first / rows)) / rows;
  if (v < 0) v = 0;
  const float m = static_cast<float>(x[c] + sums.first / rows), biased = static_cast<float>(v);
  mean[c] = m;
  var[c] = biased;
  rstd[c] = static_cast<float>(1 / sqrt(v + eps));
  running.move(c, m, biased);
}

}  // namespace mixop::kernels::cuda
