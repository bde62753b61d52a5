// Copies, constants and counters.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/copy.h"

namespace mixop::autograd {

extern const OpDef kCopy, kFill, kAssign, kAdvance;

/// A tensor of its own with the elements of x.
Value copy(Graph& g, Value x);
/// A tensor of the graph's real type, every element `value`. No gradient flows into it.
Value constant(Graph& g, const Shape& shape, double value);
Value zeros(Graph& g, const Shape& shape);
/// Whether v is such a constant of that value.
bool is_constant(const Graph& g, Value v, double value);
/// Writes x over a tensor of a store, or over a whole store (Graph::flat), of the same shape when the plan runs:
/// nodes added before this one read what was there before. Returns a handle of the node, to be asked for in a plan
/// like a value.
Value assign(Graph& g, Value target, Value x);
/// Adds 1 to a [1] tensor of a store when the plan runs: nodes added before this one read the old count, later ones
/// the new. Returns a handle of the node, to be asked for in a plan like a value.
Value advance(Graph& g, Value counter);

}  // namespace mixop::autograd
