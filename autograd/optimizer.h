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

/// One backward pass for parameters that different optimisers move: d loss / d every tensor of each store, packed
/// in the order of its entries.
std::vector<Value> packed_gradients(Graph& g, Value loss, const std::vector<TensorStore*>& params);
/// The update alone, by a gradient [elements] of the packed parameters.
OptimizerNodes sgd_update(Graph& g, Value gradient, TensorStore& params, TensorStore& optimizer,
                          const Sgd& options);
OptimizerNodes adam_update(Graph& g, Value gradient, TensorStore& params, TensorStore& optimizer,
                           const Adam& options);

/// lr_min + (lr - lr_min) * (1 + cos(pi * t / period)) / 2 (Loshchilov and Hutter 2017, without restarts).
double cosine_lr(double lr, double lr_min, double t, double period);
/// The same with warm restarts: the first period has `period` epochs, each later one `factor` (>= 1) times as many
/// as the one before. `epoch` counts from 0; a restart is at lr.
double cosine_restarts_lr(double lr, double lr_min, int64_t epoch, int64_t period, int64_t factor);
/// lr * gamma^floor(t / every).
double step_lr(double lr, double gamma, int64_t t, int64_t every);

}  // namespace mixop::autograd
