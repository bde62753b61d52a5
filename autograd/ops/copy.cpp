#include "autograd/ops/copy.h"

namespace mixop::autograd {
namespace {
std::vector<TensorSpec> copy_shape(const Graph& g, const Node& n) { return {g.spec(n.inputs[0])}; }
void copy_grad(GradContext& ctx) {
  if (ctx.dy() && ctx.wants(0)) ctx.set(0, ctx.dy());
}
std::vector<TensorSpec> fill_shape(const Graph& g, const Node& n) {
  return {{n.attr<kernels::FillAttrs>().shape, g.real()}};
}
}  // namespace

const OpDef kCopy{
    .name = "copy", .shape = copy_shape, .grad = copy_grad, .cpu = kernels::copy_cpu, .accumulates = true};
const OpDef kFill{.name = "fill", .shape = fill_shape, .grad = nullptr, .cpu = kernels::fill_cpu};

Value copy(Graph& g, Value x) { return g.add(kCopy, {x})[0]; }
Value constant(Graph& g, const Shape& shape, double value) {
  return g.add(kFill, {}, kernels::FillAttrs{shape, value})[0];
}
Value zeros(Graph& g, const Shape& shape) { return constant(g, shape, 0); }

}  // namespace mixop::autograd
