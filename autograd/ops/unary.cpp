#include "autograd/ops/unary.h"

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
                      .grad = nullptr,
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
                       .grad = nullptr,
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
