#include "autograd/ops/reduce.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"

namespace mixop::autograd {
namespace {
using kernels::Reduce;
using kernels::ReduceAttrs;
using kernels::ReduceGradAttrs;

std::vector<TensorSpec> reduce_shape(const Graph& g, const Node& n) {
  const Shape& x = g.shape(n.inputs[0]);
  const auto& attrs = n.attr<ReduceAttrs>();
  Shape y;
  for (int k = 0; k < x.rank(); ++k) {
    if (!attrs.axes[k]) y.push_back(x[k]);
    else if (attrs.keepdims) y.push_back(1);
  }
  if (y.rank() == 0) y.push_back(1);
  return {{y, g.spec(n.inputs[0]).dtype}};
}
std::vector<TensorSpec> reduce_grad_shape(const Graph& g, const Node& n) {
  return {{n.attr<ReduceGradAttrs>().shape, g.spec(n.inputs[0]).dtype}};
}

void reduce_rule(GradContext& ctx) {
  if (!ctx.dy() || !ctx.wants(0)) return;
  const auto& attrs = ctx.node().attr<ReduceAttrs>();
  std::vector<Value> inputs = {ctx.dy()};
  if (attrs.kind == Reduce::kMax) inputs = {ctx.dy(), ctx.in(0), ctx.out()};
  ctx.set(0, ctx.graph.add(kReduceGrad, inputs, ReduceGradAttrs{attrs, ctx.graph.shape(ctx.in(0))})[0]);
}

/// It is linear in dy, and its transpose is the reduction: of shares in the case of a maximum, which are what its
/// gradient is where ones arrive.
void reduce_grad_rule(GradContext& ctx) {
  if (!ctx.wants(0)) return;
  Graph& g = ctx.graph;
  ReduceAttrs reduce = ctx.node().attr<ReduceGradAttrs>().reduce;
  Value u = ctx.dy();
  if (reduce.kind == Reduce::kMax) {
    const Value ones = constant(g, g.shape(ctx.in(0)), 1);
    u = mul(g, u, g.add(kReduceGrad, {ones, ctx.in(1), ctx.in(2)}, ctx.node().attrs)[0]);
    reduce.kind = Reduce::kSum;
  }
  ctx.set(0, g.add(kReduce, {u}, reduce)[0]);
}

double input_elements(const Graph& g, const Node& n) {
  return static_cast<double>(g.shape(n.inputs[0]).elements());
}
std::string describe(const ReduceAttrs& a) {
  std::string s = a.kind == Reduce::kSum ? "sum" : a.kind == Reduce::kMean ? "mean" : "max";
  for (int k = 0; k < kernels::kMaxRank; ++k)
    if (a.axes[k]) s += kernels::text(" ", k);
  return s;
}
std::string reduce_detail(const Node& n) { return describe(n.attr<ReduceAttrs>()); }
std::string reduce_grad_detail(const Node& n) { return describe(n.attr<ReduceGradAttrs>().reduce); }
double output_elements(const Graph&, const Node& n) { return static_cast<double>(n.outputs[0].shape.elements()); }

Value reduce(Graph& g, Value x, Reduce kind, const std::vector<int>& axes, bool keepdims) {
  MIXOP_CHECK(x, "reduce: the input is missing");
  const int rank = g.shape(x).rank();
  ReduceAttrs attrs{kind, {}, keepdims};
  for (const int a : axes) {
    const int k = a < 0 ? a + rank : a;
    MIXOP_CHECK(k >= 0 && k < rank, "reduce: axis ", a, " does not exist in ", g.shape(x));
    MIXOP_CHECK(!attrs.axes[k], "reduce: axis ", a, " is named twice");
    attrs.axes[k] = true;
  }
  for (int k = 0; axes.empty() && k < rank; ++k) attrs.axes[k] = true;
  return g.add(kReduce, {x}, attrs)[0];
}
}  // namespace

const OpDef kReduce{.name = "reduce",
                    .shape = reduce_shape,
                    .grad = reduce_rule,
                    .cpu = kernels::reduce_cpu,
                    .cuda = kernels::reduce_cuda,
                    .detail = reduce_detail,
                    .flops = input_elements};
const OpDef kReduceGrad{.name = "reduce_grad",
                        .shape = reduce_grad_shape,
                        .grad = reduce_grad_rule,
                        .cpu = kernels::reduce_grad_cpu,
                        .cuda = kernels::reduce_grad_cuda,
                        .detail = reduce_grad_detail,
                        .flops = output_elements,
                        .accumulates = first_output};

Value reduce_sum(Graph& g, Value x, const std::vector<int>& axes, bool keepdims) {
  return reduce(g, x, Reduce::kSum, axes, keepdims);
}
Value reduce_mean(Graph& g, Value x, const std::vector<int>& axes, bool keepdims) {
  return reduce(g, x, Reduce::kMean, axes, keepdims);
}
Value reduce_max(Graph& g, Value x, const std::vector<int>& axes, bool keepdims) {
  return reduce(g, x, Reduce::kMax, axes, keepdims);
}

}  // namespace mixop::autograd
