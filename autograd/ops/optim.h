// Optimiser steps on flat buffers: nodes with an effect and no outputs. Each builder returns a handle of its node,
// to be asked for in a plan like a value.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/optim.h"

namespace mixop::autograd {

extern const OpDef kGradNorm, kSgdStep, kAdamStep, kRmspropStep;

/// x [P] -> [1], the L2 norm.
Value grad_norm(Graph& g, Value flat);

/// param and the state tensors lie in stores and have as many elements as grad; lr, step and norm are [1]; all of
/// one type. norm, of all gradients before clipping, is needed when attrs.clip > 0 and may else be an empty handle.
/// Formulas: kernels/ops/optim.h. Without momentum the buffer is not touched and may be param itself.
Value sgd_step(Graph& g, Value param, Value grad, Value buffer, Value lr, Value norm,
               const kernels::SgdAttrs& attrs);
/// step counts the steps made so far; the node adds 1 before it uses it.
Value adam_step(Graph& g, Value param, Value grad, Value m, Value v, Value step, Value lr, Value norm,
                const kernels::AdamAttrs& attrs);
Value rmsprop_step(Graph& g, Value param, Value grad, Value square, Value buffer, Value lr, Value norm,
                   const kernels::RmspropAttrs& attrs);

}  // namespace mixop::autograd
