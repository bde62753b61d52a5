// Batch normalisation (Ioffe and Szegedy 2015) in parts, so that the normalisation can move into its consumers.
// x is [.., C] of any rank >= 2; M is the product of the axes before C. Vectors over C are [C].
//   bn_stats   x [, running_mean, running_var] -> mean, var (biased), rstd = 1 / sqrt(var + eps)
//              running = (1 - momentum) running + momentum new in place, with the unbiased variance
//   bn_rstd    var -> rstd
//   bn_apply   x, mean, rstd [, gamma, beta] -> y = (x - mean) * (rstd * gamma) + beta
//   bn_reduce  dy, x, mean, rstd [, table] -> s1 = sum dy, s2 = sum dy * zhat, with zhat = (x - mean) * rstd
//   bn_grad    dy, x, mean, rstd, s1, s2 [, gamma] [, table] -> dx (accumulates)
//              training: gamma * rstd * (dy - s1 / M - zhat * s2 / M); else gamma * rstd * dy
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

struct BatchNormAttrs {
  double eps = 1e-5;
  double momentum = 0.1;    ///< weight of the new statistics in the running ones
  bool training = true;     ///< the statistics come from x itself and carry gradient
  bool affine = false;      ///< gamma (and in bn_apply beta) are among the inputs
  bool running = false;     ///< bn_stats: the running statistics are among the inputs
  bool scaled = false;      ///< the arriving gradient is table[scale_index] * dy; table is the last input
  int64_t scale_index = 0;  ///< element of the flattened table
};

/// M / (M - 1), or 1 when there is one number only.
inline double unbiased_factor(int64_t rows) {
  return rows > 1 ? static_cast<double>(rows) / static_cast<double>(rows - 1) : 1;
}

/// Element of a table of any rank, counted over its flattened shape.
template <class T>
T& flat_element(const View& table, int64_t index) {
  return table.as<T>()[index / table.last() * table.ld + index % table.last()];
}

/// What multiplies the arriving gradient.
template <class T>
T gradient_scale(const Call& call) {
  const auto& a = call.attr<BatchNormAttrs>();
  return a.scaled ? flat_element<T>(call.in.back(), a.scale_index) : T(1);
}

std::span<const Impl> bn_stats_cpu();
std::span<const Impl> bn_stats_cuda();
std::span<const Impl> bn_rstd_cpu();
std::span<const Impl> bn_rstd_cuda();
std::span<const Impl> bn_apply_cpu();
std::span<const Impl> bn_apply_cuda();
std::span<const Impl> bn_reduce_cpu();
std::span<const Impl> bn_reduce_cuda();
std::span<const Impl> bn_grad_cpu();
std::span<const Impl> bn_grad_cuda();

}  // namespace mixop::kernels
