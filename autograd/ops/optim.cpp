#include "autograd/ops/optim.h"

namespace mixop::autograd {
namespace {
using kernels::AdamAttrs;
using kernels::RmspropAttrs;
using kernels::SgdAttrs;

/// The first `tensors` inputs have the elements of param, the others are scalars; clipping needs one more of these.
std::vector<TensorSpec> step_shape(const Graph& g, const Node& n, size_t tensors, size_t inputs, double clip) {
  const TensorSpec& param = g.spec(n.inputs[0]);
  MIXOP_CHECK(clip >= 0, n.op->name, ": the clip norm ", clip, " is negative");
  MIXOP_CHECK(clip == 0 || n.inputs.size() > inputs, n.op->name,
              ": clipping needs the gradient norm as last input");
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    const TensorSpec& x = g.spec(n.inputs[i]);
    const int64_t want = i < tensors ? param.shape.elements() : 1;
    MIXOP_CHECK(x.shape.elements() == want && x.dtype == param.dtype, n.op->name, ": input ", i, " must have ",
                want, " elements of ", name_of(param.dtype), " for parameters ", param.shape, ", got ", x.shape,
                " of ", name_of(x.dtype));
    MIXOP_CHECK(i == 1 || i >= tensors || g.node(n.inputs[i]).store, n.op->name, ": input ", i,
                " is written and must lie in a store");
  }
  return {};
}
std::vector<TensorSpec> sgd_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<SgdAttrs>();
  MIXOP_CHECK(!a.nesterov || (a.momentum > 0 && a.dampening == 0),
              "sgd_step: nesterov needs momentum and no dampening");
  return step_shape(g, n, 3, 4, a.clip);
}
std::vector<TensorSpec> adam_shape(const Graph& g, const Node& n) {
  MIXOP_CHECK(g.node(n.inputs[4]).store, "adam_step: the step count is written and must lie in a store");
  return step_shape(g, n, 4, 6, n.attr<AdamAttrs>().clip);
}
std::vector<TensorSpec> rmsprop_shape(const Graph& g, const Node& n) {
  return step_shape(g, n, 4, 5, n.attr<RmspropAttrs>().clip);
}
std::vector<TensorSpec> norm_shape(const Graph& g, const Node& n) {
  const TensorSpec& x = g.spec(n.inputs[0]);
  MIXOP_CHECK(x.shape.rank() == 1, "grad_norm: needs a flat buffer [P], got ", x.shape);
  return {{{1}, x.dtype}};
}

double per_element(const Graph& g, const Node& n, double operations) {
  return operations * static_cast<double>(g.shape(n.inputs[0]).elements());
}
double norm_flops(const Graph& g, const Node& n) { return per_element(g, n, 2); }
double sgd_flops(const Graph& g, const Node& n) { return per_element(g, n, 7); }
double adam_flops(const Graph& g, const Node& n) { return per_element(g, n, 14); }

/// Appends the node; a value without outputs stands for it.
template <class Attrs>
Value step(Graph& g, const OpDef& op, std::vector<Value> inputs, Value norm, const Attrs& attrs) {
  if (norm) inputs.push_back(norm);
  g.add(op, std::move(inputs), attrs);
  return {g.size() - 1, 0};
}
}  // namespace

const OpDef kGradNorm{.name = "grad_norm",
                      .shape = norm_shape,
                      .grad = nullptr,
                      .cpu = kernels::grad_norm_cpu,
                      .cuda = kernels::grad_norm_cuda,
                      .flops = norm_flops};
const OpDef kSgdStep{.name = "sgd_step",
                     .shape = sgd_shape,
                     .grad = nullptr,
                     .cpu = kernels::sgd_step_cpu,
                     .cuda = kernels::sgd_step_cuda,
                     .flops = sgd_flops,
                     .effect = true};
const OpDef kAdamStep{.name = "adam_step",
                      .shape = adam_shape,
                      .grad = nullptr,
                      .cpu = kernels::adam_step_cpu,
                      .cuda = kernels::adam_step_cuda,
                      .flops = adam_flops,
                      .effect = true};
const OpDef kRmspropStep{.name = "rmsprop_step",
                         .shape = rmsprop_shape,
                         .grad = nullptr,
                         .cpu = kernels::rmsprop_step_cpu,
                         .cuda = kernels::rmsprop_step_cuda,
                         .flops = adam_flops,
                         .effect = true};

Value grad_norm(Graph& g, Value flat) { return g.add(kGradNorm, {flat})[0]; }

Value sgd_step(Graph& g, Value param, Value grad, Value buffer, Value lr, Value norm, const SgdAttrs& attrs) {
  return step(g, kSgdStep, {param, grad, buffer, lr}, norm, attrs);
}
Value adam_step(Graph& g, Value param, Value grad, Value m, Value v, Value count, Value lr, Value norm,
                const AdamAttrs& attrs) {
  return step(g, kAdamStep, {param, grad, m, v, count, lr}, norm, attrs);
}
Value rmsprop_step(Graph& g, Value param, Value grad, Value square, Value buffer, Value lr, Value norm,
                   const RmspropAttrs& attrs) {
  return step(g, kRmspropStep, {param, grad, square, buffer, lr}, norm, attrs);
}

}  // namespace mixop::autograd
