// Poolings and the statistics of their results, and the way back through the candidates of a state that have no
// weights. Shapes as in kernels/ops/pool.h, M = N Ho Wo. T = bytes of a pooled tensor at stride 1.
//
// pool_stats, per unit       composite: [bn_apply,] max_pool or avg_pool, bn_stats; 1 T read, 1 T written
//   x [N,H,W,C] [, mean, rstd [, gamma, beta]] [, running_mean, running_var]*
//   -> z [N,Ho,Wo,C], mean, var, rstd (of z, as bn_stats)
//        z = pool(t(x)), with t as in kernels/core/on_load.h, without a relu
//
// pool_stats_grad            composite: scale, sum, bn_grad (training, without gamma), max_pool_grad or
// avg_pool_grad
//   [table,] then per group
//     [x [N,H,W,C] [, mean, rstd [, gamma, beta]],] G_1 .. G_n, per pool z, mean, rstd, then s1, s2 of each part
//   -> per group dx [N,H,W,C] (accumulates)
//        A pool's parts are the arriving gradients in which its norm counts, each with an element a of the table,
//        or 1, and with sums s1, s2 of a G as mix_reduce gives them:
//          dz = rstd (sum a G - sum s1 / M - zhat sum s2 / M), zhat = (z - mean) rstd; never stored
//        dx = sum over pools of pool^T(dz) + sum over skips of a G
//        x, through t, is there for the maxima of max_pool; dx is the gradient of t(x).
//        Reads each G, z, x once, writes dx once.
#pragma once

#include <span>
#include <vector>

#include "kernels/core/norm.h"
#include "kernels/core/on_load.h"
#include "kernels/ops/pool.h"

namespace mixop::kernels {

struct PoolStatsUnit {
  PoolAttrs pool;
  bool max = true;      ///< else the average
  OnLoad load;          ///< without a relu
  BatchNormAttrs norm;  ///< running, eps and momentum count

  size_t inputs() const { return 1 + static_cast<size_t>(load.inputs()) + 2 * static_cast<size_t>(norm.running); }
};

struct PoolStatsAttrs {
  std::vector<PoolStatsUnit> units;
};

/// An arriving gradient, and what multiplies it.
struct PoolGradPart {
  int gradient = 0;    ///< of those of its group
  int64_t index = -1;  ///< element of the flattened table; -1: 1
};

struct PoolGradPool {
  PoolAttrs pool;
  bool max = true;
  std::vector<PoolGradPart> parts;

  size_t inputs() const { return 3 + 2 * parts.size(); }
};

/// The candidates of one state.
struct PoolGradGroup {
  Shape x;
  OnLoad load;           ///< without a relu
  bool reads_x = false;  ///< x is an operand: some pool is a max_pool
  int gradients = 1;
  std::vector<PoolGradPool> pools;
  std::vector<PoolGradPart> skips;  ///< their gradients have the shape of x

  size_t first_gradient() const { return reads_x ? 1 + static_cast<size_t>(load.inputs()) : 0; }
  size_t inputs() const {
    size_t n = first_gradient() + static_cast<size_t>(gradients);
    for (const PoolGradPool& p : pools) n += p.inputs();
    return n;
  }
};

struct PoolStatsGradAttrs {
  bool table = false;  ///< is the first input
  std::vector<PoolGradGroup> groups;
};

/// The operands of a group, whose pool p's z is operand pool_at[p].
struct PoolGradOperands {
  const PoolGradGroup* group;
  size_t x_at, gradient_at;  ///< x_at counts only if the group reads x
  std::vector<size_t> pool_at;
  const Out* dx;
};
PoolGradOperands pool_grad_operands(const Call& call, size_t group);

/// What multiplies the gradient of a part.
template <class T>
T factor_of(const Call& call, const PoolGradPart& part) {
  return part.index < 0 ? T(1) : flat_element<T>(call.in[0], part.index);
}

std::span<const Impl> pool_stats_cpu();
std::span<const Impl> pool_stats_cuda();
std::span<const Impl> pool_stats_grad_cpu();
std::span<const Impl> pool_stats_grad_cuda();

}  // namespace mixop::kernels
