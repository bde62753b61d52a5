// Arithmetic of two operands with NumPy broadcasting (up to 5 axes), and sums of many.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/binary.h"

namespace mixop::autograd {

extern const OpDef kAdd, kSub, kMul, kDiv, kReduceTo;
/// All inputs have one shape; no kernel: the executor copies the first and adds the others.
extern const OpDef kSum;

Value add(Graph& g, Value a, Value b);
Value sub(Graph& g, Value a, Value b);
Value mul(Graph& g, Value a, Value b);
Value div(Graph& g, Value a, Value b);
/// scale * x summed over the axes along which `shape` would be broadcast to x's shape.
Value reduce_to(Graph& g, Value x, const Shape& shape, double scale = 1);
/// factor * x.
Value times(Graph& g, Value x, double factor);
/// Sum of one or more values of the same shape; of one it is that value.
Value sum(Graph& g, const std::vector<Value>& values);

}  // namespace mixop::autograd
