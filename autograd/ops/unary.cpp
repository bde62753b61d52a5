#include "autograd/ops/unary.h"

#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"

namespace mixop::autograd {
namespace {
using kernels::ReluGradAttrs;
using kernels::Unary;
using kernels::UnaryAttrs;

std::vector<TensorSpec> same_shape(const Graph& g, const Node& n) { return {g.spec(n.inputs[0])}; }

/// dy, x: the same shape.
std::vector<TensorSpec> grad_shape(const Graph& g, const Node& n) {
  const Shape &dy = g.shape(n.inputs[0]), &x = g.shape(n.inputs[1]);
  MIXOP_CHECK(dy == x, n.op->name, ": dy ", dy, " must have the shape of x ", x);
  return {g.spec(n.inputs[0])};
}

std::vector<TensorSpec> relu_grad_shape(const Graph& g, const Node& n) {
  const size_t want = 2 + static_cast<size_t>(n.attr<ReluGradAttrs>().load.inputs());
  MIXOP_CHECK(n.inputs.size() == want, "relu_grad: its attributes need ", want, " inputs, got ", n.inputs.size());
  for (size_t i = 2; i < want; ++i) {
    const Shape &x = g.shape(n.inputs[1]), &p = g.shape(n.inputs[i]);
    MIXOP_CHECK(p == Shape{x.last()}, "relu_grad: input ", i, " ", p, " must have one element a channel of x ", x);
  }
  return grad_shape(g, n);
}

void relu_rule(GradContext& ctx) {
  if (ctx.dy() && ctx.wants(0)) ctx.set(0, ctx.graph.add(kReluGrad, {ctx.dy(), ctx.in(0)}, ReluGradAttrs{})[0]);
}
void unary_rule(GradContext& ctx) {
  if (!ctx.dy() || !ctx.wants(0)) return;
  ctx.set(0, ctx.graph.add(kUnaryGrad, {ctx.dy(), ctx.in(0)}, ctx.node().attrs)[0]);
}

/// It is linear in dy; in x it is flat almost everywhere.
void relu_grad_rule(GradContext& ctx) {
  MIXOP_CHECK(ctx.node().attr<ReluGradAttrs>().load.none(), "relu_grad: take gradients before fusing the graph");
  if (ctx.wants(0)) ctx.set(0, ctx.graph.add(kReluGrad, {ctx.dy(), ctx.in(1)}, ReluGradAttrs{})[0]);
}

/// t f''(x) from nodes that are there already; empty where f'' is 0 almost everywhere.
Value second_derivative(Graph& g, Unary kind, Value t, Value x) {
  const auto first = [&](Unary f, Value factor) {
    return g.add(kUnaryGrad, {mul(g, t, factor), x}, UnaryAttrs{f})[0];
  };
  const auto plus = [&](double a, Value v) { return add(g, constant(g, {1}, a), v); };
  const auto number = [&](double a) { return constant(g, {1}, a); };
  switch (kind) {
    case Unary::kIdentity:
    case Unary::kRelu:
    case Unary::kRelu6:
    case Unary::kHardSigmoid:
    case Unary::kLeakyRelu:
      return {};
    case Unary::kSigmoid:  // s'' = s' (1 - 2 s)
      return first(kind, plus(1, times(g, unary(g, x, kind), -2)));
    case Unary::kTanh:  // -2 y y'
      return first(kind, times(g, unary(g, x, kind), -2));
    case Unary::kSilu: {  // s' (2 + x (1 - 2 s))
      const Value slope = plus(1, times(g, unary(g, x, Unary::kSigmoid), -2));
      return first(Unary::kSigmoid, plus(2, mul(g, x, slope)));
    }
    case Unary::kSoftplus:  // its derivative is the sigmoid
      return first(Unary::kSigmoid, number(1));
    case Unary::kHardSwish:  // 1 / 3 where hardsigmoid' is 1 / 6
      return first(Unary::kHardSigmoid, number(2));
    case Unary::kElu:  // exp(x) = elu(x) + 1 below 0
      return g.add(kReluGrad, {mul(g, t, plus(1, unary(g, x, kind))), times(g, x, -1)}, ReluGradAttrs{})[0];
    case Unary::kGelu: {  // phi(x) (2 - x^2), phi the normal density, whose exponent is at most 0, as elu's
      const Value square = mul(g, x, x), e = plus(1, unary(g, times(g, square, -0.5), Unary::kElu));
      return mul(g, mul(g, t, e), times(g, plus(-2, square), -1 / std::sqrt(2 * M_PI)));
    }
  }
  return {};
}
void unary_grad_rule(GradContext& ctx) {
  Graph& g = ctx.graph;
  const Value u = ctx.dy(), dy = ctx.in(0), x = ctx.in(1);
  if (ctx.wants(0)) ctx.set(0, g.add(kUnaryGrad, {u, x}, ctx.node().attrs)[0]);
  if (ctx.wants(1)) ctx.set(1, second_derivative(g, ctx.node().attr<UnaryAttrs>().kind, mul(g, u, dy), x));
}

double elements(const Graph&, const Node& n) { return static_cast<double>(n.outputs[0].shape.elements()); }

constexpr std::pair<std::string_view, Unary> kNames[] = {
    {"relu", Unary::kRelu},
    {"sigmoid", Unary::kSigmoid},
    {"tanh", Unary::kTanh},
    {"identity", Unary::kIdentity},
    {"gelu", Unary::kGelu},
    {"silu", Unary::kSilu},
    {"swish", Unary::kSilu},
    {"relu6", Unary::kRelu6},
    {"hardswish", Unary::kHardSwish},
    {"hardsigmoid", Unary::kHardSigmoid},
    {"leaky_relu", Unary::kLeakyRelu},
    {"elu", Unary::kElu},
    {"softplus", Unary::kSoftplus},
};
}  // namespace

const OpDef kRelu{.name = "relu",
                  .shape = same_shape,
                  .grad = relu_rule,
                  .cpu = kernels::relu_cpu,
                  .cuda = kernels::relu_cuda,
                  .flops = elements};
const OpDef kReluGrad{.name = "relu_grad",
                      .shape = relu_grad_shape,
                      .grad = relu_grad_rule,
                      .cpu = kernels::relu_grad_cpu,
                      .cuda = kernels::relu_grad_cuda,
                      .flops = elements,
                      .accumulates = first_output};
const OpDef kUnary{.name = "unary",
                   .shape = same_shape,
                   .grad = unary_rule,
                   .cpu = kernels::unary_cpu,
                   .cuda = kernels::unary_cuda,
                   .flops = elements};
const OpDef kUnaryGrad{.name = "unary_grad",
                       .shape = grad_shape,
                       .grad = unary_grad_rule,
                       .cpu = kernels::unary_grad_cpu,
                       .cuda = kernels::unary_grad_cuda,
                       .flops = elements,
                       .accumulates = first_output};

Value relu(Graph& g, Value x) { return g.add(kRelu, {x})[0]; }
Value unary(Graph& g, Value x, Unary kind) { return g.add(kUnary, {x}, UnaryAttrs{kind})[0]; }

Value activation(Graph& g, Value x, std::string_view name) {
  std::string known;
  for (const auto& [n, kind] : kNames) {
    if (n == name) return kind == Unary::kRelu ? relu(g, x) : unary(g, x, kind);
    known += (known.empty() ? "" : ", ") + std::string(n);
  }
  kernels::fail("activation '", name, "' is not known; known: ", known);
}

}  // namespace mixop::autograd
