#include "autograd/ops/softmax.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/reduce.h"

namespace mixop::autograd {
namespace {
using kernels::SoftmaxAttrs;

std::vector<TensorSpec> same_shape(const Graph& g, const Node& n) { return {g.spec(n.inputs[0])}; }

void softmax_rule(GradContext& ctx) {
  if (!ctx.dy() || !ctx.wants(0)) return;
  const OpDef& grad = ctx.node().op == &kSoftmax ? kSoftmaxGrad : kLogSoftmaxGrad;
  ctx.set(0, ctx.graph.add(grad, {ctx.dy(), ctx.out()}, ctx.node().attrs)[0]);
}

/// dx = y (dy - sum dy y) is linear in dy and its own transpose; y gets u (dy - sum dy y) - dy sum u y.
void softmax_grad_rule(GradContext& ctx) {
  Graph& g = ctx.graph;
  const Value u = ctx.dy(), dy = ctx.in(0), y = ctx.in(1);
  const int axis = ctx.node().attr<SoftmaxAttrs>().axis;
  const auto dot = [&](Value a) { return reduce_sum(g, mul(g, a, y), {axis}, true); };
  if (ctx.wants(0)) ctx.set(0, g.add(kSoftmaxGrad, {u, y}, ctx.node().attrs)[0]);
  if (ctx.wants(1)) ctx.set(1, sub(g, mul(g, u, sub(g, dy, dot(dy))), mul(g, dy, dot(u))));
}
/// dx = dy - exp(y) sum dy, where exp(y) is softmax(y): probabilities add up to 1.
void log_softmax_grad_rule(GradContext& ctx) {
  Graph& g = ctx.graph;
  const Value u = ctx.dy(), dy = ctx.in(0);
  const int axis = ctx.node().attr<SoftmaxAttrs>().axis;
  const Value weighted = mul(g, u, softmax(g, ctx.in(1), axis));
  if (ctx.wants(0)) ctx.set(0, sub(g, u, reduce_sum(g, weighted, {axis}, true)));
  if (ctx.wants(1)) ctx.set(1, mul(g, weighted, times(g, reduce_sum(g, dy, {axis}, true), -1)));
}

double flops(const Graph&, const Node& n) { return 4 * static_cast<double>(n.outputs[0].shape.elements()); }

Value over_axis(Graph& g, const OpDef& op, Value x, int axis) {
  MIXOP_CHECK(x, op.name, ": the input is missing");
  const int rank = g.shape(x).rank(), k = axis < 0 ? axis + rank : axis;
  MIXOP_CHECK(k >= 0 && k < rank, op.name, ": axis ", axis, " does not exist in ", g.shape(x));
  return g.add(op, {x}, SoftmaxAttrs{k})[0];
}
std::string detail(const Node& n) { return kernels::text("axis ", n.attr<SoftmaxAttrs>().axis); }
}  // namespace

const OpDef kSoftmax{.name = "softmax",
                     .shape = same_shape,
                     .grad = softmax_rule,
                     .cpu = kernels::softmax_cpu,
                     .cuda = kernels::softmax_cuda,
                     .detail = detail,
                     .flops = flops};
const OpDef kSoftmaxGrad{.name = "softmax_grad",
                         .shape = same_shape,
                         .grad = softmax_grad_rule,
                         .cpu = kernels::softmax_grad_cpu,
                         .cuda = kernels::softmax_grad_cuda,
                         .detail = detail,
                         .flops = flops,
                         .accumulates = first_output};
const OpDef kLogSoftmax{.name = "log_softmax",
                        .shape = same_shape,
                        .grad = softmax_rule,
                        .cpu = kernels::log_softmax_cpu,
                        .cuda = kernels::log_softmax_cuda,
                        .detail = detail,
                        .flops = flops};
const OpDef kLogSoftmaxGrad{.name = "log_softmax_grad",
                            .shape = same_shape,
                            .grad = log_softmax_grad_rule,
                            .cpu = kernels::log_softmax_grad_cpu,
                            .cuda = kernels::log_softmax_grad_cuda,
                            .detail = detail,
                            .flops = flops,
                            .accumulates = first_output};

Value softmax(Graph& g, Value x, int axis) { return over_axis(g, kSoftmax, x, axis); }
Value log_softmax(Graph& g, Value x, int axis) { return over_axis(g, kLogSoftmax, x, axis); }

}  // namespace mixop::autograd
