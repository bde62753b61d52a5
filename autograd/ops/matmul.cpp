#include "autograd/ops/matmul.h"

namespace mixop::autograd {
namespace {

using kernels::MatmulAttrs;

/// Extent K of the product's sum.
int64_t depth(const Graph& g, const Node& n) {
  return g.shape(n.inputs[0])[n.attr<MatmulAttrs>().transpose_a ? 0 : 1];
}

std::vector<TensorSpec> shape_rule(const Graph& g, const Node& n) {
  MIXOP_CHECK(n.inputs.size() == 2, "matmul: expected a and b, got ", n.inputs.size(), " inputs");
  const Shape &a = g.shape(n.inputs[0]), &b = g.shape(n.inputs[1]);
  const auto& t = n.attr<MatmulAttrs>();
  MIXOP_CHECK(a.rank() == 2 && b.rank() == 2, "matmul: a ", a, " and b ", b, " must have two axes");
  MIXOP_CHECK(g.spec(n.inputs[0]).dtype == g.spec(n.inputs[1]).dtype, "matmul: a and b must have one type");
  MIXOP_CHECK(depth(g, n) == b[t.transpose_b ? 1 : 0], "matmul: a ", a, t.transpose_a ? " transposed" : "",
              " and b ", b, t.transpose_b ? " transposed" : "", " must agree in the summed axis");
  return {{{a[t.transpose_a ? 1 : 0], b[t.transpose_b ? 0 : 1]}, g.spec(n.inputs[0]).dtype}};
}

/// With y = A B: dA = dy B^T and dB = A^T dy, each transposed back when a or b came in transposed.
void grad_rule(GradContext& ctx) {
  if (!ctx.dy()) return;
  const auto [ta, tb] = ctx.node().attr<MatmulAttrs>();
  const Value a = ctx.in(0), b = ctx.in(1), dy = ctx.dy();
  if (ctx.wants(0)) ctx.set(0, ta ? matmul(ctx.graph, b, dy, tb, true) : matmul(ctx.graph, dy, b, false, !tb));
  if (ctx.wants(1)) ctx.set(1, tb ? matmul(ctx.graph, dy, a, true, ta) : matmul(ctx.graph, a, dy, !ta, false));
}

double macs(const Graph& g, const Node& n) {
  return static_cast<double>(n.outputs[0].shape.elements()) * static_cast<double>(depth(g, n));
}
double flops(const Graph& g, const Node& n) { return 2 * macs(g, n); }
std::string detail(const Node& n) {
  const auto [ta, tb] = n.attr<MatmulAttrs>();
  return kernels::text(ta ? "a^T" : "a", tb ? " b^T" : " b");
}

}  // namespace

const OpDef kMatmul{.name = "matmul",
                    .shape = shape_rule,
                    .grad = grad_rule,
                    .cpu = kernels::matmul_cpu,
                    .cuda = kernels::matmul_cuda,
                    .detail = detail,
                    .flops = flops,
                    .macs = macs,
                    .accumulates = first_output};

Value matmul(Graph& g, Value a, Value b, bool transpose_a, bool transpose_b) {
  return g.add(kMatmul, {a, b}, MatmulAttrs{transpose_a, transpose_b})[0];
}

Value linear(Graph& g, Value x, Value w) { return matmul(g, x, w, false, true); }

}  // namespace mixop::autograd
