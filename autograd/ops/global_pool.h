// Global average pooling.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/global_pool.h"

namespace mixop::autograd {

extern const OpDef kGlobalAvgPool, kGlobalAvgPoolGrad;

/// The mean over height and width: x [N, H, W, C] -> [N, C].
Value global_avg_pool(Graph& g, Value x);

}  // namespace mixop::autograd
