// Batch normalisation on CUDA: a thread owns channels, whose constants or sums stay in registers. Reductions leave
// one partial sum a block and channel, which a second kernel adds in a fixed order.
#include "kernels/ops/batch_norm.h"

#include <algorithm>

#include "kernels/core/cuda/channel_sums.cuh"
#include "kernels/core/cuda/columns.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

constexpr int kTile = 4;     // elementwise: rows that a thread has under way
constexpr int kSumTile = 8;  // reductions: numbers that are added in float32 before they go to a double
constexpr int64_t kMostBlocks = 4096, kMostPartials = 512;

/// sum (x - k), sum (x - k)^2 with k = row 0: a thread owns some rows of its channels, kSumTile at a time. Within a
/// tile deviations are taken from the tile's own mean, tiles are added in double. As k is one of the numbers,
/// (k - mean)^2 <= M var, so the variance that follows loses at most log2(M) of a double's 53 bits.
template <int kWidth>
__global__ void __launch_bounds__(kColumnThreads)
    bn_stats_partial(Columns k, const float* __restrict__ x, int64_t ld, double* __restrict__ partials) {
  const ColumnPlace<kWidth> at(k);
  double sums[2][kWidth] = {};
  if (at.row < at.end) {
    const Pack<kWidth> origin = load_pack<kWidth>(x + at.c);
    for (int64_t row = at.row; row < at.end; row += kSumTile * at.step) {
      Pack<kWidth> v[kSumTile];
      const int n = load_tile(at, row, x, ld, v);
      add_moments(v, n, origin, sums);
    }
  }
  store_partials(k, sums, partials);
}

/// sum dy, sum dy * (x - mean): a thread owns some rows of its channels.
template <int kWidth>
__global__ void __launch_bounds__(kColumnThreads)
    bn_reduce_partial(Columns k, const float* __restrict__ dy, int64_t lddy, const float* __restrict__ x,
                      int64_t ldx, const float* __restrict__ mean, double* __restrict__ partials) {
  const ColumnPlace<kWidth> at(k);
  double sums[2][kWidth] = {};
  if (at.row < at.end) {
    Pack<kWidth> centre;
    for (int j = 0; j < kWidth; ++j) centre[j] = mean[at.c + j];
    for (int64_t row = at.row; row < at.end; row += kTile * at.step) {
      Pack<kWidth> g[kTile], v[kTile];
      load_tile(at, row, dy, lddy, g);
      load_tile(at, row, x, ldx, v);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        float s1 = 0, s2 = 0;
#pragma unroll
        for (int i = 0; i < kTile; ++i) {
          s1 += g[i][j];
          s2 = fmaf(g[i][j], v[i][j] - centre[j], s2);  // beyond the end g is zero
        }
        sums[0][j] += s1;
        sums[1][j] += s2;
      }
    }
  }
  store_partials(k, sums, partials);
}

/// s1 = scale * S1, s2 = scale * rstd * S2 of the sums above: a warp owns a channel.
__global__ void __launch_bounds__(kMergeThreads)
    bn_reduce_merge(const double* __restrict__ partials, int blocks, int channels, const float* __restrict__ rstd,
                    const float* __restrict__ scale, float* __restrict__ s1, float* __restrict__ s2) {
  const int c = merged_channel();
  if (c >= channels) return;
  const Merged sums(partials, c, blocks);
  if (threadIdx.x % kWarp != 0) return;
  const double w = scale ? *scale : 1.0f;
  s1[c] = static_cast<float>(w * sums.first);
  s2[c] = static_cast<float>(w * sums.second * rstd[c]);
}

/// y = (x - mean) * (rstd * gamma) + beta: a thread owns some rows of its channels.
template <int kWidth>
__global__ void __launch_bounds__(kColumnThreads)
    bn_apply(Columns k, const float* __restrict__ x, int64_t ldx, const float* __restrict__ mean,
             const float* __restrict__ rstd, const float* __restrict__ gamma, const float* __restrict__ beta,
             float* __restrict__ y, int64_t ldy) {
  const ColumnPlace<kWidth> at(k);
  if (at.row >= at.end) return;
  Pack<kWidth> centre, factor, shift;
  for (int j = 0; j < kWidth; ++j) {
    const int c = at.c + j;
    centre[j] = mean[c];
    factor[j] = gamma ? rstd[c] * gamma[c] : rstd[c];
    shift[j] = gamma ? beta[c] : 0;
  }
  for (int64_t row = at.row; row < at.end; row += kTile * at.step) {
    Pack<kWidth> v[kTile];
    const int n = load_tile(at, row, x, ldx, v);
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      if (i >= n) break;
      for (int j = 0; j < kWidth; ++j) v[i][j] = fmaf(v[i][j] - centre[j], factor[j], shift[j]);
      store_pack(y + (row + i * at.step) * ldy + at.c, v[i]);
    }
  }
}

/// The vectors over channels that bn_grad reads; null where there is none.
struct GradVectors {
  const float *mean, *rstd, *s1, *s2, *gamma, *scale;
};

/// dx (+)= gamma * rstd * (scale * dy - s1 / M - zhat * s2 / M), the last two in training only: a thread owns some
/// rows of its channels and folds what is constant in a channel.
template <int kWidth>
__global__ void __launch_bounds__(kColumnThreads)
    bn_grad(Columns k, const float* __restrict__ dy, int64_t lddy, const float* __restrict__ x, int64_t ldx,
            GradVectors vectors, bool training, bool add, float* __restrict__ dx, int64_t lddx) {
  const ColumnPlace<kWidth> at(k);
  if (at.row >= at.end) return;
  const float w = vectors.scale ? *vectors.scale : 1.0f, rows = static_cast<float>(k.rows);
  Pack<kWidth> factor, centre = filled<kWidth>(0), k1 = centre, k2 = centre;
  for (int j = 0; j < kWidth; ++j) {
    const int c = at.c + j;
    const float rstd = vectors.rstd[c], scale = vectors.gamma ? rstd * vectors.gamma[c] : rstd;
    factor[j] = w * scale;
    if (!training) continue;
    centre[j] = vectors.mean[c];
    k1[j] = scale * (vectors.s1[c] / rows);
    k2[j] = scale * rstd * (vectors.s2[c] / rows);
  }
  for (int64_t row = at.row; row < at.end; row += kTile * at.step) {
    Pack<kWidth> g[kTile], v[kTile], before[kTile];
    const int n = load_tile(at, row, dy, lddy, g);
    if (training) load_tile(at, row, x, ldx, v);
    if (add) load_tile(at, row, dx, lddx, before);
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      if (i >= n) break;
      for (int j = 0; j < kWidth; ++j) {
        g[i][j] *= factor[j];
        if (training) g[i][j] = fmaf(centre[j] - v[i][j], k2[j], g[i][j] - k1[j]);
        if (add) g[i][j] += before[i][j];
      }
      store_pack(dx + (row + i * at.step) * lddx + at.c, g[i]);
    }
  }
}

/// rstd = 1 / sqrt(var + eps): a thread owns a channel.
__global__ void bn_rstd(const float* __restrict__ var, int channels, double eps, float* __restrict__ rstd) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c < channels) rstd[c] = static_cast<float>(1 / sqrt(var[c] + eps));
}

Columns sum_columns(const View& x, int width) { return {x.rows(), x.last(), width, kSumTile, kMostPartials}; }
Columns columns(const View& x, int width) { return {x.rows(), x.last(), width, kTile, kMostBlocks}; }

/// Enough for either width: whether rows are aligned shows only when the call is bound to memory.
size_t partials_bytes(const Call& call) {
  const View& x = call.in[0];
  const unsigned blocks = std::max(sum_columns(x, 4).grid.x, sum_columns(x, 1).grid.x);
  return size_t{2} * sizeof(double) * blocks * static_cast<size_t>(x.last());
}

/// The element of the table that multiplies the gradient, or null.
const float* scale_of(const Call& call) {
  const auto& a = call.attr<BatchNormAttrs>();
  return a.scaled ? &flat_element<float>(call.in.back(), a.scale_index) : nullptr;
}

void stats(const Call& call) {
  const View& x = call.in[0];
  const auto& a = call.attr<BatchNormAttrs>();
  const RunningPairs running(a, call.in.data() + 1, x.rows());
  double* partials = call.exec->scratch<double>();
  with_width(aligned4(x), [&]<int kWidth>() {
    const Columns k = sum_columns(x, kWidth);
    launch(*call.exec, "bn_stats_partial", bn_stats_partial<kWidth>, k.grid, kColumnThreads, 0, k, x.as<float>(),
           x.ld, partials);
    launch(*call.exec, "bn_stats_merge", bn_stats_merge, merge_grid(k.channels), kMergeThreads, 0, partials,
           x.as<float>(), k.grid.x, k.channels, x.rows(), a.eps, running, call.out[0].as<float>(),
           call.out[1].as<float>(), call.out[2].as<float>());
  });
}

void reduce(const Call& call) {
  const View &dy = call.in[0], &x = call.in[1];
  double* partials = call.exec->scratch<double>();
  with_width(aligned4(dy) && aligned4(x), [&]<int kWidth>() {
    const Columns k = sum_columns(x, kWidth);
    launch(*call.exec, "bn_reduce_partial", bn_reduce_partial<kWidth>, k.grid, kColumnThreads, 0, k, dy.as<float>(),
           dy.ld, x.as<float>(), x.ld, call.in[2].as<float>(), partials);
    launch(*call.exec, "bn_reduce_merge", bn_reduce_merge, merge_grid(k.channels), kMergeThreads, 0, partials,
           k.grid.x, k.channels, call.in[3].as<float>(), scale_of(call), call.out[0].as<float>(),
           call.out[1].as<float>());
  });
}

void apply(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const bool affine = call.attr<BatchNormAttrs>().affine;
  const float *gamma = affine ? call.in[3].as<float>() : nullptr, *beta = affine ? call.in[4].as<float>() : nullptr;
  with_width(aligned4(x) && aligned4(y), [&]<int kWidth>() {
    const Columns k = columns(x, kWidth);
    launch(*call.exec, "bn_apply", bn_apply<kWidth>, k.grid, kColumnThreads, 0, k, x.as<float>(), x.ld,
           call.in[1].as<float>(), call.in[2].as<float>(), gamma, beta, y.as<float>(), y.ld);
  });
}

void grad(const Call& call) {
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dx = call.out[0];
  const auto& a = call.attr<BatchNormAttrs>();
  const GradVectors vectors{call.in[2].as<float>(),
                            call.in[3].as<float>(),
                            call.in[4].as<float>(),
                            call.in[5].as<float>(),
                            a.affine ? call.in[6].as<float>() : nullptr,
                            scale_of(call)};
  with_width(aligned4(dy) && aligned4(x) && aligned4(dx), [&]<int kWidth>() {
    const Columns k = columns(x, kWidth);
    launch(*call.exec, "bn_grad", bn_grad<kWidth>, k.grid, kColumnThreads, 0, k, dy.as<float>(), dy.ld,
           x.as<float>(), x.ld, vectors, a.training, dx.write == Write::kAdd, dx.as<float>(), dx.ld);
  });
}

void rstd(const Call& call) {
  const View& var = call.in[0];
  launch(*call.exec, "bn_rstd", bn_rstd, grid_for(var.last(), kMergeThreads), kMergeThreads, 0, var.as<float>(),
         var.last(), call.attr<BatchNormAttrs>().eps, call.out[0].as<float>());
}

constexpr Impl kStats[] = {{"columns", all_float32, stats, partials_bytes}};
constexpr Impl kRstd[] = {{"plain", all_float32, rstd}};
constexpr Impl kApply[] = {{"columns", all_float32, apply}};
constexpr Impl kReduce[] = {{"columns", all_float32, reduce, partials_bytes}};
constexpr Impl kGrad[] = {{"columns", all_float32, grad}};
}  // namespace

std::span<const Impl> bn_stats_cuda() { return kStats; }
std::span<const Impl> bn_rstd_cuda() { return kRstd; }
std::span<const Impl> bn_apply_cuda() { return kApply; }
std::span<const Impl> bn_reduce_cuda() { return kReduce; }
std::span<const Impl> bn_grad_cuda() { return kGrad; }
}  // namespace mixop::kernels
