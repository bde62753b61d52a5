// Sums a channel over all blocks, merged by the block that comes last; and statistics as such sums.
#pragma once

#include "kernels/core/cuda/columns.cuh"
#include "kernels/core/cuda/merge.cuh"
#include "kernels/core/cuda/running.cuh"

namespace mixop::kernels::cuda {

/// Where the blocks of [rows, channels] leave their sums: for each group of blocks with the same channels, block
/// after block, kSums numbers a channel.
struct ColumnSums {
  double* partials = nullptr;
  unsigned* tickets = nullptr;
  MergeTree tree;
  int size = 0;  ///< of a block's part

  ColumnSums() = default;
  ColumnSums(const Columns& k, int width, int sums, double* partials_, unsigned* tickets_)
      : partials(partials_),
        tickets(tickets_),
        tree(k.grid.x, k.columns * width * sums, kColumnThreads),
        size(k.columns * width * sums) {}
  int64_t doubles(const Columns& k) const { return int64_t{k.grid.x} * k.grid.y * size; }
  int64_t all_tickets(const Columns& k) const { return int64_t{k.grid.y} * tree.tickets(); }
};

/// Adds v over all blocks with the same channels. The block that comes last calls finish(channel, sums) for each of
/// them, sums being kSums of a shared array from there on. All threads must call.
template <int kSums, int kWidth, class Finish>
__device__ __forceinline__ void merge_columns(const Columns& k, const ColumnSums& to, uint3 block,
                                              double (&v)[kSums][kWidth], Finish&& finish) {
  MIXOP_SHARED(double, total, kMostColumnChannels* kSums);
  const int first = static_cast<int>(block.y) * k.columns * kWidth, part = static_cast<int>(block.x);
  double* const parts = to.partials + static_cast<int64_t>(block.y) * to.tree.parts * to.size;
  const bool alone = to.tree.parts == 1;
  reduce_columns(
      k, v,
      [&](int channel, int which, double sum) {
        const int i = (channel - first) * kSums + which;
        if (alone) total[i] = sum;
        else parts[static_cast<int64_t>(part) * to.size + i] = sum;
      },
      block);
  const int own = min(k.columns * kWidth, k.channels - first);
  if (!alone && !merge_parts<kColumnThreads>(to.tree, Addition(), part, parts, own * kSums, to.size,
                                             to.tickets + block.y * to.tree.tickets(),
                                             [&](int i, double sum) { total[i] = sum; }))
    return;
  __syncthreads();
  const int i = static_cast<int>(threadIdx.x);
  if (i < own) finish(first + i, total, i * kSums);
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

/// What statistics are written to.
struct StatsOut {
  float *mean, *var, *rstd;
  double rows, eps;

  /// mean = k + S / M, var = (Q - S^2 / M) / M, rstd = 1 / sqrt(var + eps) of the sums S, Q above for channel c,
  /// whose running statistics move.
  __device__ __forceinline__ void write(int c, float origin, double s, double q,
                                        const RunningPairs& running) const {
    double v = (q - s * (s / rows)) / rows;
    if (v < 0) v = 0;
    const float m = static_cast<float>(origin + s / rows), biased = static_cast<float>(v);
    mean[c] = m;
    var[c] = biased;
    rstd[c] = static_cast<float>(1 / sqrt(v + eps));
    running.move(c, m, biased);
  }
};

}  // namespace mixop::kernels::cuda
