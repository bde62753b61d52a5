// Golden optimiser cases: one parameter, a given gradient a step, the parameter after each.
#include "autograd/ops/binary.h"
#include "autograd/ops/optim.h"
#include "autograd/ops/reduce.h"
#include "autograd/optimizer.h"
#include "nas/cli/golden_ops.h"
#include "nas/cli/tolerance.h"

namespace mixop::cli {
namespace {

using autograd::Graph;
using autograd::TensorStore;
using autograd::Value;

/// Parameters that exist in PyTorch and must be off.
void must_be_off(Program& p, const std::string& name) {
  if (p.number(name, 0) != 0) throw NotCovered("parameter '" + name + "' of " + p.op());
}
void must_be_false(Program& p, const std::string& name) {
  if (p.flag(name, false)) throw NotCovered("parameter '" + name + "' of " + p.op());
}

/// An optimiser as the searches use it, on the loss sum(parameter * gradient), whose gradient is the given one.
Value store_step(Program& p, TensorStore& params, TensorStore& optimizer, Value parameter, Value gradient) {
  Graph& g = p.g;
  const Value loss = autograd::reduce_sum(g, autograd::mul(g, parameter, gradient));
  const double decay = p.number("weight_decay", p.op() == "adamw" ? 1e-2 : 0), clip = p.number("clip_norm", 0);
  if (p.op() == "sgd") {
    must_be_off(p, "dampening");
    return autograd::sgd(g, loss, params, optimizer,
                         {.momentum = p.number("momentum", 0),
                          .weight_decay = decay,
                          .clip = clip,
                          .nesterov = p.flag("nesterov", false)})
        .step;
  }
  must_be_false(p, "amsgrad");
  const std::vector<double> betas = p.given("betas") ? p.numbers("betas") : std::vector<double>{0.9, 0.999};
  MIXOP_CHECK(betas.size() == 2, "parameter 'betas' must have two numbers");
  return autograd::adam(g, loss, params, optimizer,
                        {.beta1 = betas[0],
                         .beta2 = betas[1],
                         .eps = p.number("eps", 1e-8),
                         .weight_decay = decay,
                         .clip = clip,
                         .decoupled = p.op() == "adamw"})
      .step;
}

Value rmsprop_step(Program& p, TensorStore& params, TensorStore& optimizer, Value gradient) {
  Graph& g = p.g;
  must_be_false(p, "centered");
  const kernels::RmspropAttrs attrs{.alpha = p.number("alpha", 0.99),
                                    .eps = p.number("eps", 1e-8),
                                    .momentum = p.number("momentum", 0),
                                    .weight_decay = p.number("weight_decay", 0),
                                    .clip = p.number("clip_norm", 0)};
  const kernels::Shape flat{params.elements()};
  return autograd::rmsprop_step(g, g.flat(params), gradient, g.tensor(optimizer, "square", flat),
                                g.tensor(optimizer, "buffer", flat), g.tensor(optimizer, "params.lr", {1}),
                                autograd::grad_norm(g, gradient), attrs);
}

Values rounded(Values v, bool on) {
  if (on)
    for (double& x : v) x = static_cast<float>(x);
  return v;
}

}  // namespace

Evaluation evaluate_optimizer(const GoldenCase& golden, const Arithmetic& arithmetic) {
  if (golden.op != "sgd" && golden.op != "adam" && golden.op != "adamw" && golden.op != "rmsprop")
    throw NotCovered("operation '" + golden.op + "'");
  for (const char* name : {"p0", "grads", "p_after"}) golden.at(name);
  Program p(golden, arithmetic.real);
  const Values start = rounded(golden.at("p0").values, arithmetic.rounded_inputs()),
               grads = rounded(golden.at("grads").values, arithmetic.rounded_inputs());
  const auto n = static_cast<int64_t>(start.size());
  MIXOP_CHECK(grads.size() % start.size() == 0 && golden.at("p_after").values.size() == grads.size(),
              "'grads' and 'p_after' must hold one 'p0' a step");

  TensorStore params("params", arithmetic.real), optimizer("optimizer", arithmetic.real);
  const Value parameter = p.g.tensor(params, "p", {n}), gradient = p.g.input("gradient", {n});
  const Value step = golden.op == "rmsprop" ? rmsprop_step(p, params, optimizer, gradient)
                                            : store_step(p, params, optimizer, parameter, gradient);
  must_be_false(p, "maximize");
  const double lr = p.number("lr", 1e-3);
  const bool cosine = p.given("T_max");
  const double lr_min = p.number("lr_min", 0), period = p.number("T_max", 1);
  for (const char* name : {"p0", "grads", "p_after"}) p.use(name);
  p.check_all_used();

  autograd::Plan plan(p.g, {step}, nullptr, {.poison = true, .device = arithmetic.device});
  params.bind();
  optimizer.bind();
  to_view(start, params.flat());
  Evaluation e;
  e.factor = tolerance_factor(p.g);
  e.magnitudes["p_after"] = largest(start);  // the steps may lead to zero
  Values& after = e.values["p_after"];
  for (size_t t = 0; t * start.size() < grads.size(); ++t) {
    optimizer.set("params.lr", cosine ? autograd::cosine_lr(lr, lr_min, static_cast<double>(t), period) : lr);
    const auto begin = grads.begin() + static_cast<std::ptrdiff_t>(t * start.size());
    to_view({begin, begin + static_cast<std::ptrdiff_t>(start.size())}, plan.input("gradient"));
    plan.run();
    const Values now = from_view(params.flat());
    after.insert(after.end(), now.begin(), now.end());
  }
  return e;
}

}  // namespace mixop::cli
