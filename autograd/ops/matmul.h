// Matrix products and the linear layer.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/matmul.h"

namespace mixop::autograd {

extern const OpDef kMatmul;

/// A [M,K] times B [K,N] -> [M,N], where A is a or its transpose and B is b or its transpose. Throws unless both
/// have two axes and agree in K.
Value matmul(Graph& g, Value a, Value b, bool transpose_a = false, bool transpose_b = false);

/// x [M,K] and w [N,K] (rows are outputs, as in PyTorch) -> x w^T [M,N]. The bias is the caller's add().
Value linear(Graph& g, Value x, Value w);

}  // namespace mixop::autograd
