// Max and average pooling of [N, H, W, C], as PyTorch defines them.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/pool_stats.h"

namespace mixop::autograd {

using kernels::PoolAttrs;

extern const OpDef kMaxPool, kMaxPoolGrad, kMaxPoolTake, kAvgPool, kAvgPoolGrad;
extern const OpDef kPoolStats, kPoolStatsGrad;  ///< fused forms, made by passes/fuse_pool.cpp

/// The maximum of each window; padding acts as -inf. x [N, H, W, C] -> [N, Ho, Wo, C]. Throws when the padding
/// exceeds half the kernel or the padded image is smaller than a window.
Value max_pool(Graph& g, Value x, const PoolAttrs& attrs);
/// The mean of each window over its valid cells, with include_pad over padding too. As max_pool; no dilation.
Value avg_pool(Graph& g, Value x, const PoolAttrs& attrs);

}  // namespace mixop::autograd
