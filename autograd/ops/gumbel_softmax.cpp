#include "autograd/ops/gumbel_softmax.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/reduce.h"

namespace mixop::autograd {
namespace {
using kernels::GumbelSoftmaxAttrs;

std::vector<TensorSpec> table_shape(const Graph& g, const Node& n) {
  const Shape &alphas = g.shape(n.inputs[0]), &noise = g.shape(n.inputs[1]);
  MIXOP_CHECK(alphas.rank() == 2, "gumbel_softmax: alphas ", alphas, " are not [rows, columns]");
  MIXOP_CHECK(noise == alphas, "gumbel_softmax: noise ", noise, " for alphas ", alphas);
  MIXOP_CHECK(g.shape(n.inputs[2]) == Shape{1}, "gumbel_softmax: the temperature is ", g.shape(n.inputs[2]),
              ", not [1]");
  return {g.spec(n.inputs[0])};
}

std::vector<TensorSpec> same_shape(const Graph& g, const Node& n) { return {g.spec(n.inputs[1])}; }

void rule(GradContext& ctx) {
  if (!ctx.dy() || !ctx.wants(0)) return;
  ctx.set(0, ctx.graph.add(kGumbelSoftmaxGrad, {ctx.dy(), ctx.in(0), ctx.in(1), ctx.in(2)})[0]);
}

/// dx = y (dy - sum dy y) / t of the soft y, hard or not, is linear in dy and its own transpose; y gets
/// (u (dy - sum dy y) - dy sum u y) / t.
void grad_rule(GradContext& ctx) {
  Graph& g = ctx.graph;
  const Value u = ctx.dy(), dy = ctx.in(0), alphas = ctx.in(1), noise = ctx.in(2), temperature = ctx.in(3);
  const auto back = [&](Value arriving) {
    return g.add(kGumbelSoftmaxGrad, {arriving, alphas, noise, temperature})[0];
  };
  if (ctx.wants(0)) ctx.set(0, back(u));
  if (!ctx.wants(1)) return;
  const Value y = gumbel_softmax(g, alphas, noise, temperature, false);
  const auto dot = [&](Value a) { return reduce_sum(g, mul(g, a, y), {1}, true); };
  const Value to_y = sub(g, mul(g, u, sub(g, dy, dot(dy))), mul(g, dy, dot(u)));
  ctx.set(1, back(div(g, to_y, temperature)));
}

std::string detail(const Node& n) { return n.attr<GumbelSoftmaxAttrs>().hard ? "hard" : ""; }
double flops(const Graph&, const Node& n) { return 5 * static_cast<double>(n.outputs[0].shape.elements()); }
}  // namespace

const OpDef kGumbelSoftmax{.name = "gumbel_softmax",
                           .shape = table_shape,
                           .grad = rule,
                           .cpu = kernels::gumbel_softmax_cpu,
                           .cuda = kernels::gumbel_softmax_cuda,
                           .detail = detail,
                           .flops = flops};
const OpDef kGumbelSoftmaxGrad{.name = "gumbel_softmax_grad",
                               .shape = same_shape,
                               .grad = grad_rule,
                               .cpu = kernels::gumbel_softmax_grad_cpu,
                               .cuda = kernels::gumbel_softmax_grad_cuda,
                               .flops = flops,
                               .accumulates = first_output};

Value gumbel_softmax(Graph& g, Value alphas, Value noise, Value temperature, bool hard) {
  MIXOP_CHECK(alphas && noise && temperature, "gumbel_softmax: an input is missing");
  return g.add(kGumbelSoftmax, {alphas, noise, temperature}, GumbelSoftmaxAttrs{hard})[0];
}

}  // namespace mixop::autograd
