// Joining, cutting and reshaping. On the last axis (channels) concatenation and slices are views and cost nothing.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/concat.h"

namespace mixop::autograd {

/// Without a kernel: the memory pass makes inputs and output share memory, or copies.
extern const OpDef kConcat, kSlice, kPack, kReshape;
extern const OpDef kConcatAxis, kSliceAxis, kSliceGrad;

/// Joins values that agree on all other axes; `axis` may count from the last (negative). Of one value it is that
/// value.
Value concat(Graph& g, const std::vector<Value>& values, int axis = -1);
/// Elements [begin, begin + length) of the last axis.
Value slice(Graph& g, Value x, int64_t begin, int64_t length);
/// Elements [begin, begin + length) of any axis, which may count from the last (negative).
Value slice_axis(Graph& g, Value x, int axis, int64_t begin, int64_t length);
/// All elements of all values, one after the other: [sum of elements]. No gradient.
Value pack(Graph& g, const std::vector<Value>& values);
/// x itself, under the condition of the scope (Graph::When): what is not conditional becomes so at no cost.
Value gate(Graph& g, Value x);
/// The same elements in row-major order under another shape.
Value reshape(Graph& g, Value x, const Shape& shape);

}  // namespace mixop::autograd
