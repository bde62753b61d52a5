#include "autograd/ops/softmax.h"

namespace mixop::autograd {
namespace {
using kernels::SoftmaxAttrs;

std::vector<TensorSpec> same_shape(const Graph& g, const Node& n) { return {g.spec(n.inputs[0])}; }

void softmax_rule(GradContext& ctx) {
  if (!ctx.dy() || !ctx.wants(0)) return;
  const OpDef& grad = ctx.node().op == &kSoftmax ? kSoftmaxGrad : kLogSoftmaxGrad;
  ctx.set(0, ctx.graph.add(grad, {ctx.dy(), ctx.out()}, ctx.node().attrs)[0]);
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
                         .grad = nullptr,
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
                            .grad = nullptr,
                            .cpu = kernels::log_softmax_grad_cpu,
                            .cuda = kernels::log_softmax_grad_cuda,
                            .detail = detail,
                            .flops = flops,
                            .accumulates = first_output};

Value softmax(Graph& g, Value x, int axis) { return over_axis(g, kSoftmax, x, axis); }
Value log_softmax(Graph& g, Value x, int axis) { return over_axis(g, kLogSoftmax, x, axis); }

}  // namespace mixop::autograd
