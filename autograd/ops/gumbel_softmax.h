#pragma once

#include "autograd/graph.h"
#include "kernels/ops/gumbel_softmax.h"

namespace mixop::autograd {

extern const OpDef kGumbelSoftmax, kGumbelSoftmaxGrad;

/// Rows of softmax((alphas + noise) / temperature); alphas and noise [R,K], temperature [1], above 0. With Gumbel
/// noise -log(-log(u)) this relaxes a draw from softmax(alphas). With `hard` it is the draw itself, one-hot, whose
/// gradient is that of the relaxation (straight through). Gradients reach the alphas only.
Value gumbel_softmax(Graph& g, Value alphas, Value noise, Value temperature, bool hard = false);

}  // namespace mixop::autograd
