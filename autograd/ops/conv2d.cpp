#include "autograd/ops/conv2d.h"

namespace mixop::autograd {
namespace {

using kernels::Conv2dAttrs;

const Conv2dAttrs& attrs_of(const Node& n) { return n.attr<Conv2dAttrs>(); }

/// The operands of the transform on load that start at input `at`: their number, and one element a channel.
void check_load(const Graph& g, const Node& n, size_t at, int64_t channels) {
  const size_t want = at + static_cast<size_t>(attrs_of(n).load.inputs());
  MIXOP_CHECK(n.inputs.size() == want, n.op->name, ": its attributes need ", want, " inputs, got ",
              n.inputs.size());
  for (size_t i = at; i < want; ++i)
    MIXOP_CHECK(g.shape(n.inputs[i]) == Shape{channels}, n.op->name, ": input ", i, " ", g.shape(n.inputs[i]),
                " must have one element a channel of ", channels);
}

/// Output shape for x and w; throws when they do not fit.
Shape output_shape(const char* op, const Conv2dAttrs& a, const Shape& x, const Shape& w) {
  MIXOP_CHECK(x.rank() == 4 && w.rank() == 4, op, ": x ", x, " must be [N,H,W,C] and w ", w, " [R,S,C/groups,K]");
  MIXOP_CHECK(a.groups >= 1 && x[3] % a.groups == 0 && w[3] % a.groups == 0, op, ": ", a.groups,
              " groups must divide C=", x[3], " and K=", w[3]);
  MIXOP_CHECK(w[0] == a.kernel[0] && w[1] == a.kernel[1] && w[2] * a.groups == x[3], op, ": x ", x, " with kernel ",
              a.kernel[0], "x", a.kernel[1], " and ", a.groups, " groups needs w [", a.kernel[0], ",", a.kernel[1],
              ",", x[3] / a.groups, ",K], got ", w);
  for (int i = 0; i < 2; ++i)
    MIXOP_CHECK(a.stride[i] >= 1 && a.dilation[i] >= 1, op, ": stride and dilation must be at least 1");
  const int64_t oh = conv2d_extent(x[1], a, 0), ow = conv2d_extent(x[2], a, 1);
  MIXOP_CHECK(oh >= 1 && ow >= 1, op, ": a dilated kernel ", a.kernel[0], "x", a.kernel[1], " does not fit x ", x,
              " with its padding");
  return {x[0], oh, ow, w[3]};
}

std::vector<TensorSpec> forward_shape(const Graph& g, const Node& n) {
  MIXOP_CHECK(n.inputs.size() >= 2, "conv2d: expected x and w");
  const Shape y = output_shape("conv2d", attrs_of(n), g.shape(n.inputs[0]), g.shape(n.inputs[1]));
  check_load(g, n, 2, g.shape(n.inputs[0])[3]);
  return {{y, g.spec(n.inputs[0]).dtype}};
}

std::vector<TensorSpec> dgrad_shape(const Graph& g, const Node& n) {
  const Conv2dAttrs& a = attrs_of(n);
  MIXOP_CHECK(n.inputs.size() >= 2, "conv2d_dgrad: expected dy and w");
  const Shape y = output_shape("conv2d_dgrad", a, a.x, g.shape(n.inputs[1]));
  MIXOP_CHECK(g.shape(n.inputs[0]) == y, "conv2d_dgrad: dy ", g.shape(n.inputs[0]), ", expected ", y);
  if (!a.mask) {
    MIXOP_CHECK(n.inputs.size() == 2, "conv2d_dgrad: without a mask it takes dy and w, got ", n.inputs.size(),
                " inputs");
    return {{a.x, g.spec(n.inputs[0]).dtype}};
  }
  MIXOP_CHECK(n.inputs.size() >= 3 && g.shape(n.inputs[2]) == a.x,
              "conv2d_dgrad: the mask operand must have shape ", a.x);
  check_load(g, n, 3, a.x[3]);
  return {{a.x, g.spec(n.inputs[0]).dtype}};
}

std::vector<TensorSpec> wgrad_shape(const Graph& g, const Node& n) {
  const Conv2dAttrs& a = attrs_of(n);
  MIXOP_CHECK(n.inputs.size() >= 2, "conv2d_wgrad: expected dy and x");
  const Shape &dy = g.shape(n.inputs[0]), &x = g.shape(n.inputs[1]);
  MIXOP_CHECK(x.rank() == 4 && dy.rank() == 4, "conv2d_wgrad: dy ", dy, " and x ", x, " must have 4 axes");
  const Shape w{a.kernel[0], a.kernel[1], x[3] / a.groups, dy[3]};
  const Shape y = output_shape("conv2d_wgrad", a, x, w);
  MIXOP_CHECK(dy == y, "conv2d_wgrad: dy ", dy, ", expected ", y);
  check_load(g, n, 2, x[3]);
  return {{w, g.spec(n.inputs[0]).dtype}};
}

void conv2d_rule(GradContext& ctx) {
  if (!ctx.dy()) return;
  Conv2dAttrs a = attrs_of(ctx.node());
  MIXOP_CHECK(a.load.none(), "conv2d: take gradients before fusing the graph");
  if (ctx.wants(1)) ctx.set(1, ctx.graph.add(kConv2dWgrad, {ctx.dy(), ctx.in(0)}, a)[0]);
  if (!ctx.wants(0)) return;
  a.x = ctx.graph.shape(ctx.in(0));
  ctx.set(0, ctx.graph.add(kConv2dDgrad, {ctx.dy(), ctx.in(1)}, a)[0]);
}

/// Both gradients are linear in each of their operands, and the three ops are each other's transposes.
Conv2dAttrs unfused(const Node& n) {
  Conv2dAttrs a = attrs_of(n);
  MIXOP_CHECK(a.load.none() && !a.mask, n.op->name, ": take gradients before fusing the graph");
  return a;
}
void dgrad_rule(GradContext& ctx) {
  const Conv2dAttrs a = unfused(ctx.node());
  if (ctx.wants(0)) ctx.set(0, conv2d(ctx.graph, ctx.dy(), ctx.in(1), a));
  if (ctx.wants(1)) ctx.set(1, ctx.graph.add(kConv2dWgrad, {ctx.in(0), ctx.dy()}, a)[0]);
}
void wgrad_rule(GradContext& ctx) {
  Conv2dAttrs a = unfused(ctx.node());
  if (ctx.wants(0)) ctx.set(0, conv2d(ctx.graph, ctx.in(1), ctx.dy(), a));
  if (!ctx.wants(1)) return;
  a.x = ctx.graph.shape(ctx.in(1));
  ctx.set(1, ctx.graph.add(kConv2dDgrad, {ctx.in(0), ctx.dy()}, a)[0]);
}

/// Multiply-adds: one for each output element and weight of its group.
double multiply_adds(const Shape& y, const Shape& w) {
  return static_cast<double>(y.elements() * w[0] * w[1] * w[2]);
}
double forward_macs(const Graph& g, const Node& n) {
  return multiply_adds(n.outputs[0].shape, g.shape(n.inputs[1]));
}
double forward_flops(const Graph& g, const Node& n) { return 2 * forward_macs(g, n); }
double dgrad_flops(const Graph& g, const Node& n) {
  return 2 * multiply_adds(g.shape(n.inputs[0]), g.shape(n.inputs[1]));
}
double wgrad_flops(const Graph& g, const Node& n) {
  return 2 * multiply_adds(g.shape(n.inputs[0]), n.outputs[0].shape);
}

std::string detail(const Node& n) {
  const Conv2dAttrs& a = attrs_of(n);
  std::string s = kernels::text("k", a.kernel[0], "x", a.kernel[1], " s", a.stride[0], "x", a.stride[1], " p",
                                a.pad_begin[0], ",", a.pad_begin[1], ",", a.pad_end[0], ",", a.pad_end[1], " d",
                                a.dilation[0], "x", a.dilation[1], " g", a.groups);
  for (const auto& [on, name] :
       {std::pair(a.load.norm, " norm"), {a.load.affine, " affine"}, {a.load.relu, " relu"}, {a.mask, " mask"}})
    if (on) s += name;
  return s;
}

}  // namespace

const OpDef kConv2d{.name = "conv2d",
                    .shape = forward_shape,
                    .grad = conv2d_rule,
                    .cpu = kernels::conv2d_cpu,
                    .cuda = kernels::conv2d_cuda,
                    .detail = detail,
                    .flops = forward_flops,
                    .macs = forward_macs};
const OpDef kConv2dDgrad{.name = "conv2d_dgrad",
                         .shape = dgrad_shape,
                         .grad = dgrad_rule,
                         .cpu = kernels::conv2d_dgrad_cpu,
                         .cuda = kernels::conv2d_dgrad_cuda,
                         .detail = detail,
                         .flops = dgrad_flops,
                         .accumulates = first_output};
const OpDef kConv2dWgrad{.name = "conv2d_wgrad",
                         .shape = wgrad_shape,
                         .grad = wgrad_rule,
                         .cpu = kernels::conv2d_wgrad_cpu,
                         .cuda = kernels::conv2d_wgrad_cuda,
                         .detail = detail,
                         .flops = wgrad_flops,
                         .accumulates = first_output};

Value conv2d(Graph& g, Value x, Value w, kernels::Conv2dAttrs attrs) {
  attrs.load = {};
  attrs.mask = false;
  return g.add(kConv2d, {x, w}, attrs)[0];
}

}  // namespace mixop::autograd
