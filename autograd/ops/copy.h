// Copies and constants.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/copy.h"

namespace mixop::autograd {

extern const OpDef kCopy, kFill;

/// A tensor of its own with the elements of x.
Value copy(Graph& g, Value x);
/// A tensor of the graph's real type, every element `value`. No gradient flows into it.
Value constant(Graph& g, const Shape& shape, double value);
Value zeros(Graph& g, const Shape& shape);

}  // namespace mixop::autograd
