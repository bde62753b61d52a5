#include "autograd/ops/global_pool.h"

namespace mixop::autograd {
namespace {
using kernels::GlobalAvgPoolGradAttrs;

std::vector<TensorSpec> pool_shape(const Graph& g, const Node& n) {
  const TensorSpec& x = g.spec(n.inputs[0]);
  MIXOP_CHECK(x.shape.rank() == 4 && x.shape.elements() > 0, n.op->name, ": x ", x.shape, " must be [N, H, W, C]");
  return {{{x.shape[0], x.shape[3]}, x.dtype}};
}
std::vector<TensorSpec> grad_shape(const Graph& g, const Node& n) {
  const Shape &x = n.attr<GlobalAvgPoolGradAttrs>().x, &dy = g.shape(n.inputs[0]), want{x[0], x[3]};
  MIXOP_CHECK(dy == want, n.op->name, ": dy ", dy, " must have the shape ", want);
  return {{x, g.spec(n.inputs[0]).dtype}};
}

void pool_rule(GradContext& ctx) {
  if (!ctx.wants(0)) return;
  const GlobalAvgPoolGradAttrs attrs{ctx.graph.shape(ctx.in(0))};
  ctx.set(0, ctx.graph.add(kGlobalAvgPoolGrad, {ctx.dy()}, attrs)[0]);
}
/// It is linear, and its transpose is the pooling.
void grad_rule(GradContext& ctx) {
  if (ctx.wants(0)) ctx.set(0, global_avg_pool(ctx.graph, ctx.dy()));
}

double pool_flops(const Graph& g, const Node& n) { return static_cast<double>(g.shape(n.inputs[0]).elements()); }
}  // namespace

const OpDef kGlobalAvgPool{.name = "global_avg_pool",
                           .shape = pool_shape,
                           .grad = pool_rule,
                           .cpu = kernels::global_avg_pool_cpu,
                           .cuda = kernels::global_avg_pool_cuda,
                           .flops = pool_flops,
                           .bf16 = activations};
const OpDef kGlobalAvgPoolGrad{.name = "global_avg_pool_grad",
                               .shape = grad_shape,
                               .grad = grad_rule,
                               .cpu = kernels::global_avg_pool_grad_cpu,
                               .cuda = kernels::global_avg_pool_grad_cuda,
                               .accumulates = first_output,
                               .bf16 = activations};

Value global_avg_pool(Graph& g, Value x) { return g.add(kGlobalAvgPool, {x})[0]; }

}  // namespace mixop::autograd
