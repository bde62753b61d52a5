// What the passes that find convolutions with their gradients have in common.
#pragma once

#include <optional>
#include <vector>

#include "autograd/passes/rewrite.h"
#include "kernels/ops/conv2d.h"
#include "kernels/ops/separable.h"

namespace mixop::autograd {

/// Of a convolution that is the same along both axes.
std::optional<kernels::Window> window_of(const kernels::Conv2dAttrs& a);

/// Node `dgrad` is the data gradient for convolution `conv`, masked exactly where its t has a relu, by the same t.
bool is_data_gradient(const Graph& g, int dgrad, int conv);
/// Node `wgrad` is the weight gradient for convolution `conv`, of the same t(x).
bool is_weight_gradient(const Graph& g, int wgrad, int conv);

/// x and the operands of t.
std::vector<Value> loaded_operands(const Graph& g, int conv);

/// The one bn_grad of a norm of z with the statistics of z itself, or -1.
int norm_gradient(const Rewriter& r, Value z);

/// What a separable_grad takes of the norm behind it: operands before x, with attributes that say which there are.
struct NormOperands {
  kernels::SeparableGradUnit unit;
  std::vector<Value> in;  ///< dy, z, mean, rstd, s1, s2 [, gamma] [, table] [, factor]
};
NormOperands norm_operands(Rewriter& r, int norm_grad);

}  // namespace mixop::autograd
