// Batch normalisation (Ioffe and Szegedy 2015) in parts, so that the normalisation can move into its consumers.
// x is [.., C] of any rank >= 2; M is the product of the axes before C. Vectors over C are [C].
//   bn_stats   x [, running_mean, running_var]* -> mean, var (biased), rstd = 1 / sqrt(var + eps)
//              running = (1 - momentum) running + momentum new in place, with the unbiased variance; norms of the
//              same x that each keep running statistics of their own are one call with several pairs
//   bn_rstd    var times count -> rstd times count; norms of any channels one after the other
//   bn_apply   x, mean, rstd [, gamma, beta] -> y = (x - mean) * (rstd * gamma) + beta
//   bn_reduce  (dy, x, mean, rstd) times count [, table] -> (s1 = sum dy, s2 = sum dy * zhat) times count, with
//              zhat = (x - mean) * rstd; norms of any shapes one after the other, a table with count 1 only
//   bn_grad    dy, x, mean, rstd, s1, s2 [, gamma] [, table] -> dx (accumulates)
//              training: gamma * rstd * (dy - s1 / M - zhat * s2 / M); else gamma * rstd * dy
#pragma once

#include <span>

#include "kernels/core/norm.h"

namespace mixop::kernels {

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
