#include "autograd/ops/binary.h"

#include <algorithm>

#include "autograd/ops/copy.h"

namespace mixop::autograd {
namespace {
using kernels::Binary;
using kernels::BinaryAttrs;
using kernels::ReduceToAttrs;

std::vector<TensorSpec> binary_shape(const Graph& g, const Node& n) {
  const Shape &a = g.shape(n.inputs[0]), &b = g.shape(n.inputs[1]);
  const int rank = std::max(a.rank(), b.rank());
  Shape y;
  for (int k = -rank; k < 0; ++k) {  // axes counted from the last
    const int64_t p = -k <= a.rank() ? a[k] : 1, q = -k <= b.rank() ? b[k] : 1;
    MIXOP_CHECK(p == q || p == 1 || q == 1, n.op->name, ": shapes ", a, " and ", b,
                " do not broadcast: aligned at the last axis, extents must be equal or 1");
    y.push_back(p == 1 ? q : p);
  }
  return {{y, g.spec(n.inputs[0]).dtype}};
}

std::vector<TensorSpec> reduce_to_shape(const Graph& g, const Node& n) {
  const Shape &x = g.shape(n.inputs[0]), &to = n.attr<ReduceToAttrs>().shape;
  bool fits = to.rank() <= x.rank();
  for (int k = -1; fits && k >= -to.rank(); --k) fits = to[k] == x[k] || to[k] == 1;
  MIXOP_CHECK(fits, "reduce_to: ", to, " does not broadcast to ", x);
  return {{to, g.spec(n.inputs[0]).dtype}};
}

std::vector<TensorSpec> sum_shape(const Graph& g, const Node& n) {
  MIXOP_CHECK(!n.inputs.empty(), "sum: needs at least one input");
  const Shape& first = g.shape(n.inputs[0]);
  for (const Value v : n.inputs)
    MIXOP_CHECK(g.shape(v) == first, "sum: all inputs must have one shape, got ", first, " and ", g.shape(v));
  return {g.spec(n.inputs[0])};
}

/// dy with the shape of input i.
Value back_to(GradContext& ctx, int i, Value dy, double scale = 1) {
  const Shape shape = ctx.graph.shape(ctx.in(i));
  return scale == 1 && ctx.graph.shape(dy) == shape ? dy : reduce_to(ctx.graph, dy, shape, scale);
}

void add_grad(GradContext& ctx) {
  if (!ctx.dy()) return;
  for (int i = 0; i < 2; ++i)
    if (ctx.wants(i)) ctx.set(i, back_to(ctx, i, ctx.dy()));
}
void sub_grad(GradContext& ctx) {
  if (!ctx.dy()) return;
  if (ctx.wants(0)) ctx.set(0, back_to(ctx, 0, ctx.dy()));
  if (ctx.wants(1)) ctx.set(1, back_to(ctx, 1, ctx.dy(), -1));
}
void mul_grad(GradContext& ctx) {
  if (!ctx.dy()) return;
  for (int i = 0; i < 2; ++i)
    if (ctx.wants(i)) ctx.set(i, back_to(ctx, i, mul(ctx.graph, ctx.dy(), ctx.in(1 - i))));
}
/// With y = a / b: dy / b, and -y dy / b.
void div_grad(GradContext& ctx) {
  const Value quotient = div(ctx.graph, ctx.dy(), ctx.in(1));
  if (ctx.wants(0)) ctx.set(0, back_to(ctx, 0, quotient));
  if (ctx.wants(1)) ctx.set(1, back_to(ctx, 1, mul(ctx.graph, quotient, ctx.out()), -1));
}
void sum_grad(GradContext& ctx) {
  if (!ctx.dy()) return;
  for (int i = 0, n = static_cast<int>(ctx.node().inputs.size()); i < n; ++i)
    if (ctx.wants(i)) ctx.set(i, ctx.dy());
}

/// The same number for all elements that were summed.
void reduce_to_grad(GradContext& ctx) {
  if (!ctx.wants(0)) return;
  const double scale = ctx.node().attr<ReduceToAttrs>().scale;
  ctx.set(0, mul(ctx.graph, ctx.dy(), constant(ctx.graph, ctx.graph.shape(ctx.in(0)), scale)));
}

double output_elements(const Graph&, const Node& n) { return static_cast<double>(n.outputs[0].shape.elements()); }
double input_elements(const Graph& g, const Node& n) {
  return static_cast<double>(g.shape(n.inputs[0]).elements());
}
double sum_flops(const Graph& g, const Node& n) {
  return static_cast<double>(n.inputs.size() - 1) * input_elements(g, n);
}

OpDef binary_op(const char* name, void (*grad)(GradContext&)) {
  return {.name = name,
          .shape = binary_shape,
          .grad = grad,
          .cpu = kernels::binary_cpu,
          .cuda = kernels::binary_cuda,
          .flops = output_elements,
          .accumulates = first_output};
}
}  // namespace

const OpDef kAdd = binary_op("add", add_grad), kSub = binary_op("sub", sub_grad), kMul = binary_op("mul", mul_grad),
            kDiv = binary_op("div", div_grad);
const OpDef kReduceTo{.name = "reduce_to",
                      .shape = reduce_to_shape,
                      .grad = reduce_to_grad,
                      .cpu = kernels::reduce_to_cpu,
                      .cuda = kernels::reduce_to_cuda,
                      .flops = input_elements,
                      .accumulates = first_output};
const OpDef kSum{.name = "sum",
                 .shape = sum_shape,
                 .grad = sum_grad,
                 .cpu = nullptr,
                 .flops = sum_flops,
                 .alias = OpDef::Alias::kSum};

Value add(Graph& g, Value a, Value b) { return g.add(kAdd, {a, b}, BinaryAttrs{Binary::kAdd})[0]; }
Value sub(Graph& g, Value a, Value b) { return g.add(kSub, {a, b}, BinaryAttrs{Binary::kSub})[0]; }
Value mul(Graph& g, Value a, Value b) { return g.add(kMul, {a, b}, BinaryAttrs{Binary::kMul})[0]; }
Value div(Graph& g, Value a, Value b) { return g.add(kDiv, {a, b}, BinaryAttrs{Binary::kDiv})[0]; }
Value reduce_to(Graph& g, Value x, const Shape& shape, double scale) {
  return g.add(kReduceTo, {x}, ReduceToAttrs{shape, scale})[0];
}
Value times(Graph& g, Value x, double factor) { return reduce_to(g, x, g.shape(x), factor); }
Value sum(Graph& g, const std::vector<Value>& values) {
  return values.size() == 1 ? values[0] : g.add(kSum, values)[0];
}

}  // namespace mixop::autograd
