// 2-d convolution over [N,H,W,C]; depthwise, grouped, dilated and strided alike.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/conv2d.h"

namespace mixop::autograd {

extern const OpDef kConv2d, kConv2dDgrad, kConv2dWgrad;

/// x [N,H,W,C], w [R,S,C/groups,K] -> [N,OH,OW,K]. No bias; throws when shapes and attributes do not fit together.
Value conv2d(Graph& g, Value x, Value w, kernels::Conv2dAttrs attrs);

}  // namespace mixop::autograd
