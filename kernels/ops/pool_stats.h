// A pooling and the statistics of its result as one operation, and the way back through the norm and the pooling.
// Shapes as in kernels/ops/pool.h, M = N Ho Wo. T = bytes of the pooled tensor at stride 1.
//
// pool_stats       composite: max_pool or avg_pool, bn_stats; 1 T read, 1 T written
//   x [N,H,W,C] [, running_mean, running_var]* -> z [N,Ho,Wo,C], mean, var, rstd (of z, as bn_stats)
//
// pool_stats_grad  composite: bn_grad (training, without gamma), max_pool_grad or avg_pool_grad; for max 3 T read,
// for
//                  avg 2 T read, 1 T written
//   dy, z, mean, rstd, s1, s2 [, table] [, x: for max] -> dx [N,H,W,C] (accumulates)
//        dz = rstd (a dy - s1 / M - zhat s2 / M) = A dy + B z + D, zhat = (z - mean) rstd, a = table[scale_index]
//        or 1 A = rstd a, B = -rstd^2 s2 / M, D = -rstd s1 / M - B mean; dz is never stored
#pragma once

#include "kernels/core/norm.h"
#include "kernels/ops/pool.h"

namespace mixop::kernels {

struct PoolStatsAttrs {
  PoolAttrs pool;
  bool max = true;      ///< else the average
  BatchNormAttrs norm;  ///< running, eps and momentum count
};

struct PoolStatsGradAttrs {
  PoolAttrs pool;
  bool max = true;
  BatchNormAttrs norm;  ///< scaled and scale_index count
  Shape x;              ///< of the pooling's input

  /// Operands before x.
  size_t x_at() const { return norm.scaled ? 7 : 6; }
};

std::span<const Impl> pool_stats_cpu();
std::span<const Impl> pool_stats_cuda();
std::span<const Impl> pool_stats_grad_cpu();
std::span<const Impl> pool_stats_grad_cuda();

}  // namespace mixop::kernels
