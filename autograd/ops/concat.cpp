#include "autograd/ops/concat.h"

namespace mixop::autograd {
namespace {
using kernels::ConcatAttrs;
using kernels::ReshapeAttrs;
using kernels::SliceAttrs;
using kernels::SliceAxisAttrs;
using kernels::SliceGradAttrs;

int axis_of(const char* op, const Shape& x, int axis) {
  const int k = axis < 0 ? axis + x.rank() : axis;
  MIXOP_CHECK(k >= 0 && k < x.rank(), op, ": axis ", axis, " does not exist in ", x);
  return k;
}
int last_axis(const Shape& x) { return x.rank() - 1; }

std::vector<TensorSpec> joined(const Graph& g, const Node& n, int axis) {
  TensorSpec y = g.spec(n.inputs[0]);
  for (size_t i = 1; i < n.inputs.size(); ++i) {
    const TensorSpec& x = g.spec(n.inputs[i]);
    Shape other = x.shape;
    if (other.rank() == y.shape.rank()) other[axis] = y.shape[axis];
    MIXOP_CHECK(other == y.shape && x.dtype == y.dtype, "concat: inputs must agree on all axes but ", axis,
                ", got ", g.shape(n.inputs[0]), " and ", x.shape);
    y.shape[axis] += x.shape[axis];
  }
  return {y};
}
std::vector<TensorSpec> concat_shape(const Graph& g, const Node& n) {
  return joined(g, n, last_axis(g.shape(n.inputs[0])));
}
std::vector<TensorSpec> concat_axis_shape(const Graph& g, const Node& n) {
  return joined(g, n, n.attr<ConcatAttrs>().axis);
}

std::vector<TensorSpec> cut(const Graph& g, const Node& n, int axis, int64_t begin, int64_t length) {
  TensorSpec y = g.spec(n.inputs[0]);
  MIXOP_CHECK(begin >= 0 && length > 0 && begin + length <= y.shape[axis], "slice: [", begin, ", ", begin + length,
              ") is not inside axis ", axis, " of ", y.shape);
  y.shape[axis] = length;
  return {y};
}
std::vector<TensorSpec> slice_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<SliceAttrs>();
  return cut(g, n, last_axis(g.shape(n.inputs[0])), a.begin, a.length);
}
std::vector<TensorSpec> slice_axis_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<SliceAxisAttrs>();
  return cut(g, n, a.axis, a.begin, a.length);
}
std::vector<TensorSpec> slice_grad_shape(const Graph& g, const Node& n) {
  return {{n.attr<SliceGradAttrs>().shape, g.spec(n.inputs[0]).dtype}};
}

std::vector<TensorSpec> pack_shape(const Graph& g, const Node& n) {
  MIXOP_CHECK(!n.inputs.empty(), "pack: needs at least one input");
  int64_t elements = 0;
  for (const Value v : n.inputs) {
    MIXOP_CHECK(g.spec(v).dtype == g.spec(n.inputs[0]).dtype, "pack: inputs have different types");
    elements += g.shape(v).elements();
  }
  return {{{elements}, g.spec(n.inputs[0]).dtype}};
}
std::vector<TensorSpec> reshape_shape(const Graph& g, const Node& n) {
  const Shape &x = g.shape(n.inputs[0]), &y = n.attr<ReshapeAttrs>().shape;
  MIXOP_CHECK(x.elements() == y.elements(), "reshape: ", x, " has ", x.elements(), " elements, ", y, " has ",
              y.elements());
  return {{y, g.spec(n.inputs[0]).dtype}};
}

void concat_rule(GradContext& ctx) {
  if (!ctx.dy()) return;
  Graph& g = ctx.graph;
  const bool last = ctx.node().op == &kConcat;
  const int axis = last ? last_axis(g.shape(ctx.in(0))) : ctx.node().attr<ConcatAttrs>().axis;
  int64_t begin = 0;
  for (int i = 0, n = static_cast<int>(ctx.node().inputs.size()); i < n; ++i) {
    const int64_t length = g.shape(ctx.in(i))[axis];
    if (ctx.wants(i)) ctx.set(i, slice_axis(g, ctx.dy(), axis, begin, length));
    begin += length;
  }
}
void slice_rule(GradContext& ctx) {
  if (!ctx.dy() || !ctx.wants(0)) return;
  Graph& g = ctx.graph;
  SliceGradAttrs attrs{last_axis(g.shape(ctx.in(0))), 0, g.shape(ctx.in(0))};
  if (ctx.node().op == &kSlice) {
    attrs.begin = ctx.node().attr<SliceAttrs>().begin;
  } else {
    attrs.axis = ctx.node().attr<SliceAxisAttrs>().axis;
    attrs.begin = ctx.node().attr<SliceAxisAttrs>().begin;
  }
  ctx.set(0, g.add(kSliceGrad, {ctx.dy()}, attrs)[0]);
}
void slice_grad_rule(GradContext& ctx) {
  if (!ctx.dy() || !ctx.wants(0)) return;
  const auto& a = ctx.node().attr<SliceGradAttrs>();
  ctx.set(0, slice_axis(ctx.graph, ctx.dy(), a.axis, a.begin, ctx.graph.shape(ctx.in(0))[a.axis]));
}
void reshape_rule(GradContext& ctx) {
  if (ctx.dy() && ctx.wants(0)) ctx.set(0, reshape(ctx.graph, ctx.dy(), ctx.graph.shape(ctx.in(0))));
}
std::string concat_detail(const Node& n) { return kernels::text("axis ", n.attr<ConcatAttrs>().axis); }
std::string slice_detail(const Node& n) {
  const auto& a = n.attr<SliceAxisAttrs>();
  return kernels::text("axis ", a.axis, " from ", a.begin);
}
std::string slice_grad_detail(const Node& n) {
  const auto& a = n.attr<SliceGradAttrs>();
  return kernels::text("axis ", a.axis, " from ", a.begin);
}
}  // namespace

const OpDef kConcat{
    .name = "concat", .shape = concat_shape, .grad = concat_rule, .cpu = nullptr, .alias = OpDef::Alias::kConcat};
const OpDef kSlice{
    .name = "slice", .shape = slice_shape, .grad = slice_rule, .cpu = nullptr, .alias = OpDef::Alias::kSlice};
const OpDef kPack{
    .name = "pack", .shape = pack_shape, .grad = nullptr, .cpu = nullptr, .alias = OpDef::Alias::kPack};
const OpDef kReshape{.name = "reshape",
                     .shape = reshape_shape,
                     .grad = reshape_rule,
                     .cpu = nullptr,
                     .alias = OpDef::Alias::kReshape};
const OpDef kConcatAxis{.name = "concat_axis",
                        .shape = concat_axis_shape,
                        .grad = concat_rule,
                        .cpu = kernels::concat_axis_cpu,
                        .cuda = kernels::concat_axis_cuda,
                        .detail = concat_detail};
const OpDef kSliceAxis{.name = "slice_axis",
                       .shape = slice_axis_shape,
                       .grad = slice_rule,
                       .cpu = kernels::slice_axis_cpu,
                       .cuda = kernels::slice_axis_cuda,
                       .detail = slice_detail,
                       .accumulates = first_output};
const OpDef kSliceGrad{.name = "slice_grad",
                       .shape = slice_grad_shape,
                       .grad = slice_grad_rule,
                       .cpu = kernels::slice_grad_cpu,
                       .cuda = kernels::slice_grad_cuda,
                       .detail = slice_grad_detail,
                       .accumulates = first_output};

Value concat(Graph& g, const std::vector<Value>& values, int axis) {
  MIXOP_CHECK(!values.empty() && values[0], "concat: needs at least one input");
  const Shape& first = g.shape(values[0]);
  const int k = axis_of("concat", first, axis);
  if (values.size() == 1) return values[0];
  return k == last_axis(first) ? g.add(kConcat, values)[0] : g.add(kConcatAxis, values, ConcatAttrs{k})[0];
}
Value slice(Graph& g, Value x, int64_t begin, int64_t length) {
  return g.add(kSlice, {x}, SliceAttrs{begin, length})[0];
}
Value slice_axis(Graph& g, Value x, int axis, int64_t begin, int64_t length) {
  MIXOP_CHECK(x, "slice: the input is missing");
  const int k = axis_of("slice", g.shape(x), axis);
  if (k == last_axis(g.shape(x))) return slice(g, x, begin, length);
  return g.add(kSliceAxis, {x}, SliceAxisAttrs{k, begin, length})[0];
}
Value pack(Graph& g, const std::vector<Value>& values) { return g.add(kPack, values)[0]; }
Value reshape(Graph& g, Value x, const Shape& shape) { return g.add(kReshape, {x}, ReshapeAttrs{shape})[0]; }

Value gate(Graph& g, Value x) { return reshape(g, x, g.shape(x)); }

}  // namespace mixop::autograd
