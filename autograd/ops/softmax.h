#pragma once

#include "autograd/graph.h"
#include "kernels/ops/softmax.h"

namespace mixop::autograd {

extern const OpDef kSoftmax, kSoftmaxGrad, kLogSoftmax, kLogSoftmaxGrad;

/// Over one axis, which may count from the last (negative). Throws when x has no such axis.
Value softmax(Graph& g, Value x, int axis = -1);
Value log_softmax(Graph& g, Value x, int axis = -1);

}  // namespace mixop::autograd
