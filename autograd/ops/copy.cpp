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
std::vector<TensorSpec> assign_shape(const Graph& g, const Node& n) {
  const TensorSpec &target = g.spec(n.inputs[0]), &x = g.spec(n.inputs[1]);
  MIXOP_CHECK(target.shape == x.shape && target.dtype == x.dtype, "assign: the target ", target.shape, " of ",
              name_of(target.dtype), " must be like x ", x.shape, " of ", name_of(x.dtype));
  MIXOP_CHECK(g.node(n.inputs[0]).store, "assign: the target is written and must lie in a store");
  return {};
}
std::vector<TensorSpec> advance_shape(const Graph& g, const Node& n) {
  const Node& counter = g.node(n.inputs[0]);
  MIXOP_CHECK(g.shape(n.inputs[0]) == Shape{1}, "advance: the counter must be [1], got ", g.shape(n.inputs[0]));
  MIXOP_CHECK(counter.store, "advance: the counter is written and must lie in a store");
  return {};
}
}  // namespace

const OpDef kCopy{.name = "copy",
                  .shape = copy_shape,
                  .grad = copy_grad,
                  .cpu = kernels::copy_cpu,
                  .cuda = kernels::copy_cuda,
                  .accumulates = first_output};
const OpDef kFill{
    .name = "fill", .shape = fill_shape, .grad = nullptr, .cpu = kernels::fill_cpu, .cuda = kernels::fill_cuda};
const OpDef kAssign{.name = "assign",
                    .shape = assign_shape,
                    .grad = nullptr,
                    .cpu = kernels::assign_cpu,
                    .cuda = kernels::assign_cuda,
                    .effect = true};
const OpDef kAdvance{.name = "advance",
                     .shape = advance_shape,
                     .grad = nullptr,
                     .cpu = kernels::advance_cpu,
                     .cuda = kernels::advance_cuda,
                     .effect = true};

Value copy(Graph& g, Value x) { return g.add(kCopy, {x})[0]; }
Value constant(Graph& g, const Shape& shape, double value) {
  return g.add(kFill, {}, kernels::FillAttrs{shape, value})[0];
}
Value zeros(Graph& g, const Shape& shape) { return constant(g, shape, 0); }
bool is_constant(const Graph& g, Value v, double value) {
  const Node& n = g.node(v);
  return n.op == &kFill && n.attr<kernels::FillAttrs>().value == value;
}
Value assign(Graph& g, Value target, Value x) {
  g.add(kAssign, {target, x});
  return {g.size() - 1, 0};
}
Value advance(Graph& g, Value counter) {
  g.add(kAdvance, {counter});
  return {g.size() - 1, 0};
}

}  // namespace mixop::autograd
