#include "autograd/optimizer.h"

#include <cmath>

#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/optim.h"

namespace mixop::autograd {
namespace {

Value packed_gradient(Graph& g, Value loss, TensorStore& params) {
  std::vector<Value> tensors;
  for (const auto& e : params.entries()) tensors.push_back(g.tensor(params, e.name, e.shape));
  std::vector<Value> grads = gradients(g, loss, tensors);
  g.set_backward(true);
  for (size_t i = 0; i < grads.size(); ++i)
    if (!grads[i]) grads[i] = zeros(g, params.entry(static_cast<int>(i)).shape);
  const Value flat = pack(g, grads);
  g.set_backward(false);
  return flat;
}

}  // namespace

OptimizerNodes sgd(Graph& g, Value loss, TensorStore& params, TensorStore& optimizer, const Sgd& o) {
  OptimizerNodes nodes;
  nodes.gradient = packed_gradient(g, loss, params);
  const std::string prefix = params.name() + ".";
  const Value momentum = g.tensor(optimizer, prefix + "momentum", {params.elements()});
  const Value lr = g.tensor(optimizer, prefix + "lr", {1});
  g.set_backward(true);
  nodes.norm = grad_norm(g, nodes.gradient);
  nodes.step =
      sgd_step(g, g.flat(params), nodes.gradient, momentum, lr, nodes.norm,
               {.momentum = o.momentum, .weight_decay = o.weight_decay, .clip = o.clip, .nesterov = o.nesterov});
  g.set_backward(false);
  return nodes;
}

OptimizerNodes adam(Graph& g, Value loss, TensorStore& params, TensorStore& optimizer, const Adam& o) {
  OptimizerNodes nodes;
  nodes.gradient = packed_gradient(g, loss, params);
  const std::string prefix = params.name() + ".";
  const Shape flat{params.elements()};
  const Value m = g.tensor(optimizer, prefix + "m", flat), v = g.tensor(optimizer, prefix + "v", flat);
  const Value step = g.tensor(optimizer, prefix + "step", {1}), lr = g.tensor(optimizer, prefix + "lr", {1});
  g.set_backward(true);
  if (o.clip > 0) nodes.norm = grad_norm(g, nodes.gradient);
  nodes.step = adam_step(g, g.flat(params), nodes.gradient, m, v, step, lr, nodes.norm,
                         {.beta1 = o.beta1,
                          .beta2 = o.beta2,
                          .eps = o.eps,
                          .weight_decay = o.weight_decay,
                          .clip = o.clip,
                          .decoupled = o.decoupled});
  g.set_backward(false);
  return nodes;
}

double cosine_lr(double lr, double lr_min, double t, double period) {
  return lr_min + (lr - lr_min) * (1 + std::cos(M_PI * t / period)) / 2;
}

double step_lr(double lr, double gamma, int64_t t, int64_t every) {
  MIXOP_CHECK(every > 0, "step schedule: 'every' must be positive, got ", every);
  return lr * std::pow(gamma, static_cast<double>(t / every));
}

}  // namespace mixop::autograd
