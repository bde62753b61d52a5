// Reductions over any axes.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/reduce.h"

namespace mixop::autograd {

extern const OpDef kReduce, kReduceGrad;

/// Axes may count from the last (negative); an empty list means all of them. Without keepdims the axes are dropped,
/// and when none is left the result is [1]. Throws on an axis out of range or named twice.
Value reduce_sum(Graph& g, Value x, const std::vector<int>& axes = {}, bool keepdims = false);
Value reduce_mean(Graph& g, Value x, const std::vector<int>& axes = {}, bool keepdims = false);
/// Elements equal to the maximum share its gradient evenly, as in PyTorch's amax.
Value reduce_max(Graph& g, Value x, const std::vector<int>& axes = {}, bool keepdims = false);

}  // namespace mixop::autograd
