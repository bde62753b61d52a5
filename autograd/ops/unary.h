// Activations.
#pragma once

#include <string_view>

#include "autograd/graph.h"
#include "kernels/ops/unary.h"

namespace mixop::autograd {

/// kRelu and kReluGrad stand apart because the fusion passes look for them.
extern const OpDef kRelu, kReluGrad, kUnary, kUnaryGrad;

/// max(x, 0), same shape.
Value relu(Graph& g, Value x);
Value unary(Graph& g, Value x, kernels::Unary kind);
/// By PyTorch's names: relu, sigmoid, tanh, identity, gelu, silu (or swish), relu6, hardswish, hardsigmoid,
/// leaky_relu, elu, softplus. Throws on another name, listing these.
Value activation(Graph& g, Value x, std::string_view name);

}  // namespace mixop::autograd
