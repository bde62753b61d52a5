// Batch normalisation on CUDA: a thread owns channels, whose constants or sums stay in registers. Reductions leave
// one partial sum a block and channel; the block that comes last adds them in a fixed order.
#include "kernels/ops/batch_norm.h"

#include <algorithm>
#include <array>

#include "kernels/core/cuda/channel_sums.cuh"
#include "kernels/core/cuda/columns.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

constexpr int kTile = 4;     // elementwise: rows that a thread has under way
constexpr int kSumTile = 8;  // reductions: numbers that are added in float32 before they go to a double
constexpr int kRstdThreads = 128;
constexpr int64_t kMostBlocks = 4096, kMostPartials = 256;

/// Statistics of the sums sum (x - k), sum (x - k)^2 with k = row 0: a thread owns some rows of its channels,
/// kSumTile at a time. Within a tile deviations are taken from the tile's own mean, tiles are added in double. As k
/// is one of the numbers, (k - mean)^2 <= M var, so the variance that follows loses at most log2(M) of a double's
/// 53 bits.
template <int kWidth>
__global__ void __launch_bounds__(kColumnThreads)
    bn_stats_columns(Columns k, const float* x, int64_t ld, ColumnSums to, StatsOut out, RunningPairs running) {
  wait_for_earlier();
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
  merge_columns(k, to, blockIdx, sums,
                [&](int c, auto sum, int i) { out.write(c, x[c], sum[i], sum[i + 1], running); });
}

/// One norm of bn_reduce; its blocks begin at first_block.
struct ReduceNorm {
  Columns k;
  unsigned first_block;
  Stored dy, x;
  int64_t lddy, ldx;
  const float *mean, *rstd;
  float *s1, *s2;
  ColumnSums to;
};

/// Of one launch.
constexpr size_t kMostNorms = 24;
struct ReduceNorms {
  int count = 0;
  std::array<ReduceNorm, kMostNorms> norm;
};
static_assert(sizeof(ReduceNorms) < 3968);

/// s1 = scale * sum dy, s2 = scale * rstd * sum dy (x - mean): a block works for one norm, a thread owns some rows
/// of its channels.
template <int kWidth>
__global__ void __launch_bounds__(kColumnThreads) bn_reduce_columns(ReduceNorms norms, const float* scale) {
  wait_for_earlier();
  int n = 0;
  while (n + 1 < norms.count && blockIdx.x >= norms.norm[n + 1].first_block) ++n;
  const ReduceNorm& norm = norms.norm[n];
  const Columns k = norm.k;
  const unsigned b = blockIdx.x - norm.first_block;
  const uint3 block = {b % k.grid.x, b / k.grid.x, 0};
  const ColumnPlace<kWidth> at(k, block);
  double sums[2][kWidth] = {};
  if (at.row < at.end) {
    Pack<kWidth> centre;
    for (int j = 0; j < kWidth; ++j) centre[j] = norm.mean[at.c + j];
    for (int64_t row = at.row; row < at.end; row += kTile * at.step) {
      Pack<kWidth> g[kTile], v[kTile];
      load_tile(at, row, norm.dy, norm.lddy, g);
      load_tile(at, row, norm.x, norm.ldx, v);
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
  merge_columns(k, norm.to, block, sums, [&](int c, auto sum, int i) {
    const double w = scale ? *scale : 1.0f, s1 = sum[i], s2 = sum[i + 1];
    norm.s1[c] = static_cast<float>(w * s1);
    norm.s2[c] = static_cast<float>(w * s2 * norm.rstd[c]);
  });
}

/// y = (x - mean) * (rstd * gamma) + beta: a thread owns some rows of its channels.
template <int kWidth>
__global__ void __launch_bounds__(kColumnThreads)
    bn_apply(Columns k, const float* x, int64_t ldx, const float* mean, const float* rstd, const float* gamma,
             const float* beta, float* y, int64_t ldy) {
  wait_for_earlier();
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
    bn_grad(Columns k, const float* dy, int64_t lddy, const float* x, int64_t ldx, GradVectors vectors,
            bool training, bool add, float* dx, int64_t lddx) {
  wait_for_earlier();
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

/// The norms of one launch of bn_rstd: all 929 of a supernet of 8 cells.
struct RstdNorms {
  struct Norm {
    const float* var;
    float* rstd;
    int channels;
  };
  double eps;
  std::array<Norm, 1024> norm;
};
static_assert(sizeof(RstdNorms) <= 32764);  // parameters of a kernel from CUDA 12.1 and sm_70 on

/// rstd = 1 / sqrt(var + eps): a block owns a norm, a thread channels of it.
__global__ void bn_rstd(const RstdNorms norms) {
  wait_for_earlier();
  const RstdNorms::Norm& n = norms.norm[blockIdx.x];
  for (int c = static_cast<int>(threadIdx.x); c < n.channels; c += static_cast<int>(blockDim.x))
    n.rstd[c] = static_cast<float>(1 / sqrt(n.var[c] + norms.eps));
}

Columns sum_columns(const View& x, int width) { return {x.rows(), x.last(), width, kSumTile, kMostPartials}; }
Columns columns(const View& x, int width) { return {x.rows(), x.last(), width, kTile, kMostBlocks}; }

/// Of the sums over all rows of x. Enough for either width: whether rows are aligned shows only when the call is
/// bound to memory.
size_t sums_bytes(const View& x) {
  const auto doubles = [&](int width) {
    const Columns k = sum_columns(x, width);
    return ColumnSums(k, width, 2, nullptr, nullptr).doubles(k);
  };
  return sizeof(double) * static_cast<size_t>(std::max(doubles(4), doubles(1)));
}
size_t stats_bytes(const Call& call) { return sums_bytes(call.in[0]); }
size_t reduce_bytes(const Call& call) {
  size_t bytes = 0;
  for (int n = 0; n < call.attr<BatchNormAttrs>().count; ++n) bytes += sums_bytes(call.in[4 * n + 1]);
  return bytes;
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
  with_width(aligned4(x), [&]<int kWidth>() {
    const Columns k = sum_columns(x, kWidth);
    ColumnSums to(k, kWidth, 2, call.exec->scratch<double>(), nullptr);
    to.tickets = tickets_for(*call.exec, to.all_tickets(k));
    const StatsOut out{call.out[0].as<float>(), call.out[1].as<float>(), call.out[2].as<float>(),
                       static_cast<double>(x.rows()), a.eps};
    launch_dependent(*call.exec, "bn_stats_columns", bn_stats_columns<kWidth>, k.grid, kColumnThreads, 0, k,
                     x.as<float>(), x.ld, to, out, running);
  });
}

void reduce(const Call& call) {
  const auto norms_n = static_cast<size_t>(call.attr<BatchNormAttrs>().count);
  bool aligned = true;
  for (size_t n = 0; n < norms_n; ++n)
    aligned = aligned && in_fours(call.in[4 * n]) && in_fours(call.in[4 * n + 1]);
  with_width(aligned, [&]<int kWidth>() {
    for (size_t n = 0; n < norms_n;) {
      ReduceNorms norms;
      unsigned blocks = 0;
      int64_t doubles = 0, tickets = 0;
      for (; n < norms_n && norms.count < static_cast<int>(kMostNorms); ++n) {
        const View &dy = call.in[4 * n], &x = call.in[4 * n + 1];
        const Columns k = sum_columns(x, kWidth);
        const ColumnSums to(k, kWidth, 2, call.exec->scratch<double>() + doubles, call.exec->tickets + tickets);
        norms.norm[static_cast<size_t>(norms.count++)] = {k,
                                                          blocks,
                                                          Stored(dy),
                                                          Stored(x),
                                                          dy.ld,
                                                          x.ld,
                                                          call.in[4 * n + 2].as<float>(),
                                                          call.in[4 * n + 3].as<float>(),
                                                          call.out[2 * n].as<float>(),
                                                          call.out[2 * n + 1].as<float>(),
                                                          to};
        blocks += k.grid.x * k.grid.y;
        doubles += to.doubles(k);
        tickets += to.all_tickets(k);
      }
      (void)tickets_for(*call.exec, tickets);
      launch_dependent(*call.exec, "bn_reduce_columns", bn_reduce_columns<kWidth>, dim3(blocks), kColumnThreads, 0,
                       norms, scale_of(call));
    }
  });
}

void apply(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const bool affine = call.attr<BatchNormAttrs>().affine;
  const float *gamma = affine ? call.in[3].as<float>() : nullptr, *beta = affine ? call.in[4].as<float>() : nullptr;
  with_width(aligned4(x) && aligned4(y), [&]<int kWidth>() {
    const Columns k = columns(x, kWidth);
    launch_dependent(*call.exec, "bn_apply", bn_apply<kWidth>, k.grid, kColumnThreads, 0, k, x.as<float>(), x.ld,
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
    launch_dependent(*call.exec, "bn_grad", bn_grad<kWidth>, k.grid, kColumnThreads, 0, k, dy.as<float>(), dy.ld,
                     x.as<float>(), x.ld, vectors, a.training, dx.write == Write::kAdd, dx.as<float>(), dx.ld);
  });
}

void rstd(const Call& call) {
  RstdNorms norms{call.attr<BatchNormAttrs>().eps, {}};
  for (size_t n = 0; n < call.in.size();) {
    unsigned count = 0;
    for (; n < call.in.size() && count < norms.norm.size(); ++n)
      norms.norm[count++] = {call.in[n].as<float>(), call.out[n].as<float>(), static_cast<int>(call.in[n].last())};
    launch_dependent(*call.exec, "bn_rstd", bn_rstd, dim3(count), kRstdThreads, 0, norms);
  }
}

constexpr Impl kStats[] = {{"columns", all_float32, stats, stats_bytes}};
constexpr Impl kRstd[] = {{"plain", all_float32, rstd}};
constexpr Impl kApply[] = {{"columns", all_float32, apply}};
constexpr Impl kReduce[] = {{"columns", all_float32_or_bf16, reduce, reduce_bytes}};
constexpr Impl kGrad[] = {{"columns", all_float32, grad}};
}  // namespace

std::span<const Impl> bn_stats_cuda() { return kStats; }
std::span<const Impl> bn_rstd_cuda() { return kRstd; }
std::span<const Impl> bn_apply_cuda() { return kApply; }
std::span<const Impl> bn_reduce_cuda() { return kReduce; }
std::span<const Impl> bn_grad_cuda() { return kGrad; }
}  // namespace mixop::kernels
