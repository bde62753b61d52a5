#include "autograd/optimizer.h"

#include <cmath>

#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/optim.h"

namespace mixop::autograd {
std::vector<Value> packed_gradients(Graph& g, Value loss, const std::vector<TensorStore*>& params) {
  std::vector<Value> tensors;
  for (TensorStore* store : params)
    for (const auto& e : store->entries()) tensors.push_back(g.tensor(*store, e.name, e.shape));
  std::vector<Value> grads = gradients(g, loss, tensors), packed;
  g.set_backward(true);
  for (size_t i = 0; i < grads.size(); ++i)
    if (!grads[i]) grads[i] = zeros(g, g.shape(tensors[i]));
  auto next = grads.begin();
  for (TensorStore* store : params) {
    const auto end = next + static_cast<std::ptrdiff_t>(store->entries().size());
    packed.push_back(pack(g, {next, end}));
    next = end;
  }
  g.set_backward(false);
  return packed;
}

OptimizerNodes sgd(Graph& g, Value loss, TensorStore& params, TensorStore& optimizer, const Sgd& o) {
  return sgd_update(g, packed_gradients(g, loss, {&params})[0], params, optimizer, o);
}

OptimizerNodes adam(Graph& g, Value loss, TensorStore& params, TensorStore& optimizer, const Adam& o) {
  return adam_update(g, packed_gradients(g, loss, {&params})[0], params, optimizer, o);
}

OptimizerNodes sgd_update(Graph& g, Value gradient, TensorStore& params, TensorStore& optimizer, const Sgd& o) {
  OptimizerNodes nodes;
  nodes.gradient = gradient;
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

OptimizerNodes adam_update(Graph& g, Value gradient, TensorStore& params, TensorStore& optimizer, const Adam& o) {
  OptimizerNodes nodes;
  nodes.gradient = gradient;
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

double cosine_restarts_lr(double lr, double lr_min, int64_t epoch, int64_t period, int64_t factor) {
  MIXOP_CHECK(period > 0 && factor > 0, "cosine schedule: period and factor must be positive, got ", period,
              " and ", factor);
  while (epoch >= period) {
    epoch -= period;
    period *= factor;
  }
  return cosine_lr(lr, lr_min, static_cast<double>(epoch), static_cast<double>(period));
}

double step_lr(double lr, double gamma, int64_t t, int64_t every) {
  MIXOP_CHECK(every > 0, "step schedule: 'every' must be positive, got ", every);
  return lr * std::pow(gamma, static_cast<double>(t / every));
}

}  // namespace mixop::autograd
