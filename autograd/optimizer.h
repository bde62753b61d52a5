// Optimisers over a whole store: gradients of a loss, packed flat, then one step node that updates the store in
// place.
#pragma once

#include "autograd/graph.h"

namespace mixop::autograd {

struct Sgd {
  double momentum = 0.9, weight_decay = 0;  ///< decay is added to the gradient after clipping (PyTorch's order)
  double clip = 0;                          ///< global L2 norm; 0: off
  bool nesterov = false;
};

struct Adam {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0, clip = 0;
  bool decoupled = false;  ///< AdamW
};

struct OptimizerNodes {
  Value step;      ///< ask for this in a plan to have the update done
  Value norm;      ///< global L2 norm of the gradient before clipping, [1]; empty for Adam without clipping
  Value gradient;  ///< all gradients packed in the order of the store's entries, [elements]
};

/// Appends d loss / d every tensor of `params` and the update. Buffers and the learning rate live in `optimizer`
/// under
/// "<params>.momentum", "<params>.m", "<params>.v", "<params>.step", "<params>.lr". All tensors of the store must
/// exist.
OptimizerNodes sgd(Graph& g, Value loss, TensorStore& params, TensorStore& optimizer, const Sgd& options);
OptimizerNodes adam(Graph& g, Value loss, TensorStore& params, TensorStore& optimizer, const Adam& options);

/// lr_min + (lr - lr_min) * (1 + cos(pi * t / period)) / 2 (Loshchilov and Hutter 2017, without restarts).
double cosine_lr(double lr, double lr_min, double t, double period);
/// lr * gamma^floor(t / every).
double step_lr(double lr, double gamma, int64_t t, int64_t every);

}  // namespace mixop::autograd
