#include "autograd/ops/pool.h"

namespace mixop::autograd {
namespace {
using kernels::AvgPoolGradAttrs;
using kernels::PoolAxis;
using kernels::PoolGradGroup;
using kernels::PoolGradPart;
using kernels::PoolGradPool;
using kernels::PoolStatsAttrs;
using kernels::PoolStatsGradAttrs;
using kernels::PoolStatsUnit;

/// The output of pooling x; throws when the attributes do not fit.
Shape pooled(const Node& n, const PoolAttrs& a, const Shape& x) {
  const char* op = n.op->name;
  MIXOP_CHECK(x.rank() == 4, op, ": x ", x, " must be [N, H, W, C]");
  Shape y = x;
  for (int axis = 0; axis < 2; ++axis) {
    MIXOP_CHECK(a.kernel[axis] >= 1 && a.stride[axis] >= 1 && a.dilation[axis] >= 1, op, ": kernel ",
                a.kernel[axis], ", stride ", a.stride[axis], " and dilation ", a.dilation[axis],
                " must be at least 1");
    MIXOP_CHECK(a.pad[axis] >= 0 && a.pad[axis] <= a.kernel[axis] / 2, op, ": padding ", a.pad[axis],
                " must be between 0 and half the kernel ", a.kernel[axis]);
    const PoolAxis geometry(a, x, axis);
    y[1 + axis] = geometry.outputs();
    MIXOP_CHECK(y[1 + axis] > 0, op, ": a window of ", geometry.extent(), " does not fit x ", x, " with padding ",
                a.pad[axis]);
  }
  return y;
}

void check_no_dilation(const Node& n, const PoolAttrs& a) {
  MIXOP_CHECK(a.dilation[0] == 1 && a.dilation[1] == 1, n.op->name, ": dilation must be 1");
}

std::vector<TensorSpec> max_shape(const Graph& g, const Node& n) {
  return {{pooled(n, n.attr<PoolAttrs>(), g.shape(n.inputs[0])), g.spec(n.inputs[0]).dtype}};
}
std::vector<TensorSpec> avg_shape(const Graph& g, const Node& n) {
  check_no_dilation(n, n.attr<PoolAttrs>());
  return max_shape(g, n);
}
void check_dy(const Graph& g, const Node& n, const Shape& y) {
  const Shape& dy = g.shape(n.inputs[0]);
  MIXOP_CHECK(dy == y, n.op->name, ": dy ", dy, " must have the shape of the output ", y);
}
std::vector<TensorSpec> max_grad_shape(const Graph& g, const Node& n) {
  check_dy(g, n, pooled(n, n.attr<PoolAttrs>(), g.shape(n.inputs[1])));
  return {g.spec(n.inputs[1])};
}
std::vector<TensorSpec> max_take_shape(const Graph& g, const Node& n) {
  const Shape &v = g.shape(n.inputs[0]), &x = g.shape(n.inputs[1]);
  MIXOP_CHECK(v == x, n.op->name, ": v ", v, " must have the shape of x ", x);
  return {{pooled(n, n.attr<PoolAttrs>(), x), g.spec(n.inputs[1]).dtype}};
}
std::vector<TensorSpec> avg_grad_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<AvgPoolGradAttrs>();
  check_no_dilation(n, a.pool);
  check_dy(g, n, pooled(n, a.pool, a.x));
  return {{a.x, g.spec(n.inputs[0]).dtype}};
}

void check_vectors(const Graph& g, const Node& n, size_t from, size_t to, int64_t channels) {
  for (size_t i = from; i < to; ++i)
    MIXOP_CHECK(g.shape(n.inputs[i]) == Shape{channels}, n.op->name, ": input ", i, " ", g.shape(n.inputs[i]),
                " must have one element for each of ", channels, " channels");
}
template <class All>
void check_count(const Node& n, const All& all, size_t count) {
  for (const auto& one : all) count += one.inputs();
  MIXOP_CHECK(!all.empty() && n.inputs.size() == count, n.op->name, ": its attributes need ", count,
              " inputs, got ", n.inputs.size());
}

std::vector<TensorSpec> stats_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<PoolStatsAttrs>();
  check_count(n, a.units, 0);
  std::vector<TensorSpec> out;
  size_t at = 0;
  for (const PoolStatsUnit& u : a.units) {
    MIXOP_CHECK(u.norm.running >= 0 && u.norm.running <= kernels::kMostRunning, n.op->name, ": at most ",
                kernels::kMostRunning, " pairs of running statistics, got ", u.norm.running);
    MIXOP_CHECK(!u.load.relu, n.op->name, ": there is no relu on load");
    if (!u.max) check_no_dilation(n, u.pool);
    const TensorSpec& x = g.spec(n.inputs[at]);
    const Shape z = pooled(n, u.pool, x.shape);
    check_vectors(g, n, at + 1, at + u.inputs(), z[3]);
    out.push_back({z, x.dtype});
    out.insert(out.end(), 3, {Shape{z[3]}, x.dtype});
    at += u.inputs();
  }
  return out;
}

void check_part(const Graph& g, const Node& n, const PoolGradGroup& group, const PoolGradPart& part, size_t first,
                const Shape& shape) {
  MIXOP_CHECK(part.gradient >= 0 && part.gradient < group.gradients, n.op->name, ": a part reads gradient ",
              part.gradient, " of ", group.gradients);
  const Shape& arriving = g.shape(n.inputs[first + static_cast<size_t>(part.gradient)]);
  MIXOP_CHECK(arriving == shape, n.op->name, ": gradient ", part.gradient, " ", arriving, ", expected ", shape);
  if (part.index < 0) return;
  MIXOP_CHECK(n.attr<PoolStatsGradAttrs>().table, n.op->name, ": a weighted part needs a table");
  const Shape& table = g.shape(n.inputs[0]);
  MIXOP_CHECK(part.index < table.elements(), n.op->name, ": element ", part.index, " does not exist in the table ",
              table);
}

std::vector<TensorSpec> stats_grad_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<PoolStatsGradAttrs>();
  check_count(n, a.groups, a.table ? 1 : 0);
  std::vector<TensorSpec> out;
  size_t at = a.table ? 1 : 0;
  for (const PoolGradGroup& group : a.groups) {
    const size_t first = at + group.first_gradient();
    MIXOP_CHECK(!group.load.relu, n.op->name, ": there is no relu on load");
    if (group.reads_x) {
      MIXOP_CHECK(g.shape(n.inputs[at]) == group.x, n.op->name, ": x ", g.shape(n.inputs[at]), ", expected ",
                  group.x);
      check_vectors(g, n, at + 1, first, group.x.last());
    }
    size_t z_at = first + static_cast<size_t>(group.gradients);
    for (const PoolGradPool& p : group.pools) {
      if (!p.max) check_no_dilation(n, p.pool);
      MIXOP_CHECK(!p.max || group.reads_x, n.op->name, ": the maxima of a max_pool need x");
      const Shape z = pooled(n, p.pool, group.x);
      MIXOP_CHECK(g.shape(n.inputs[z_at]) == z, n.op->name, ": z ", g.shape(n.inputs[z_at]), " must be the pooled ",
                  z);
      check_vectors(g, n, z_at + 1, z_at + p.inputs(), z[3]);
      for (const PoolGradPart& part : p.parts) check_part(g, n, group, part, first, z);
      z_at += p.inputs();
    }
    for (const PoolGradPart& part : group.skips) check_part(g, n, group, part, first, group.x);
    out.push_back({group.x, g.spec(n.inputs[first]).dtype});
    at += group.inputs();
  }
  return out;
}
bool every_output(const Node&, int) { return true; }

void max_rule(GradContext& ctx) {
  if (ctx.wants(0)) ctx.set(0, ctx.graph.add(kMaxPoolGrad, {ctx.dy(), ctx.in(0)}, ctx.node().attrs)[0]);
}
/// Both are linear in their first operand, each other's transposes, and flat in x almost everywhere.
void max_grad_rule(GradContext& ctx) {
  if (ctx.wants(0)) ctx.set(0, ctx.graph.add(kMaxPoolTake, {ctx.dy(), ctx.in(1)}, ctx.node().attrs)[0]);
}
void max_take_rule(GradContext& ctx) {
  if (ctx.wants(0)) ctx.set(0, ctx.graph.add(kMaxPoolGrad, {ctx.dy(), ctx.in(1)}, ctx.node().attrs)[0]);
}
void avg_rule(GradContext& ctx) {
  if (!ctx.wants(0)) return;
  const AvgPoolGradAttrs attrs{ctx.node().attr<PoolAttrs>(), ctx.graph.shape(ctx.in(0))};
  ctx.set(0, ctx.graph.add(kAvgPoolGrad, {ctx.dy()}, attrs)[0]);
}
/// It is linear, and its transpose is the pooling.
void avg_grad_rule(GradContext& ctx) {
  if (ctx.wants(0)) ctx.set(0, avg_pool(ctx.graph, ctx.dy(), ctx.node().attr<AvgPoolGradAttrs>().pool));
}

double windows_flops(const PoolAttrs& a, const Shape& y) {
  return static_cast<double>(y.elements()) * a.kernel[0] * a.kernel[1];
}
double flops(const Graph&, const Node& n) { return windows_flops(n.attr<PoolAttrs>(), n.outputs[0].shape); }
double max_grad_flops(const Graph& g, const Node& n) {
  return windows_flops(n.attr<PoolAttrs>(), g.shape(n.inputs[0]));
}
double avg_grad_flops(const Graph& g, const Node& n) {
  return windows_flops(n.attr<AvgPoolGradAttrs>().pool, g.shape(n.inputs[0]));
}
double stats_flops(const Graph&, const Node& n) {
  double flops = 0;
  for (size_t i = 0; const PoolStatsUnit& u : n.attr<PoolStatsAttrs>().units) {
    const Shape& z = n.outputs[4 * i++].shape;
    flops += windows_flops(u.pool, z) + 4 * static_cast<double>(z.elements());
  }
  return flops;
}
double stats_grad_flops(const Graph& g, const Node& n) {
  const auto& a = n.attr<PoolStatsGradAttrs>();
  double flops = 0;
  size_t at = a.table ? 1 : 0;
  for (const PoolGradGroup& group : a.groups) {
    size_t z_at = at + group.first_gradient() + static_cast<size_t>(group.gradients);
    for (const PoolGradPool& p : group.pools) {
      const Shape& z = g.shape(n.inputs[z_at]);
      flops += windows_flops(p.pool, z) + static_cast<double>(z.elements() * (3 + 2 * int64_t(p.parts.size())));
      z_at += p.inputs();
    }
    flops += 2 * static_cast<double>(group.x.elements()) * static_cast<double>(group.skips.size());
    at += group.inputs();
  }
  return flops;
}
std::string describe(const PoolAttrs& a) {
  return kernels::text("k", a.kernel[0], "x", a.kernel[1], " s", a.stride[0], "x", a.stride[1], " p", a.pad[0], ",",
                       a.pad[1], " d", a.dilation[0], "x", a.dilation[1], a.include_pad ? " include_pad" : "",
                       a.ceil_mode ? " ceil" : "");
}
std::string detail(const Node& n) { return describe(n.attr<PoolAttrs>()); }
std::string describe_load(const kernels::OnLoad& load) {
  return load.norm ? (load.affine ? " normed affine" : " normed") : "";
}
std::string stats_detail(const Node& n) {
  std::string s;
  for (const PoolStatsUnit& u : n.attr<PoolStatsAttrs>().units)
    s += kernels::text(s.empty() ? "" : ", ", u.max ? "max " : "avg ", describe(u.pool), describe_load(u.load));
  return s;
}
std::string stats_grad_detail(const Node& n) {
  std::string s;
  for (const PoolGradGroup& group : n.attr<PoolStatsGradAttrs>().groups) {
    s += kernels::text(s.empty() ? "" : "; ", group.gradients, " gradients", describe_load(group.load));
    for (const PoolGradPool& p : group.pools)
      s += kernels::text(p.max ? ", max " : ", avg ", describe(p.pool), " of ", p.parts.size());
    if (!group.skips.empty()) s += kernels::text(", skips ", group.skips.size());
  }
  return s;
}
std::string avg_grad_detail(const Node& n) { return describe(n.attr<AvgPoolGradAttrs>().pool); }
}  // namespace

const OpDef kMaxPool{.name = "max_pool",
                     .shape = max_shape,
                     .grad = max_rule,
                     .cpu = kernels::max_pool_cpu,
                     .cuda = kernels::max_pool_cuda,
                     .detail = detail,
                     .flops = flops};
const OpDef kMaxPoolGrad{.name = "max_pool_grad",
                         .shape = max_grad_shape,
                         .grad = max_grad_rule,
                         .cpu = kernels::max_pool_grad_cpu,
                         .cuda = kernels::max_pool_grad_cuda,
                         .detail = detail,
                         .flops = max_grad_flops,
                         .accumulates = first_output};
const OpDef kMaxPoolTake{.name = "max_pool_take",
                         .shape = max_take_shape,
                         .grad = max_take_rule,
                         .cpu = kernels::max_pool_take_cpu,
                         .cuda = kernels::max_pool_take_cuda,
                         .detail = detail,
                         .flops = flops};
const OpDef kAvgPool{.name = "avg_pool",
                     .shape = avg_shape,
                     .grad = avg_rule,
                     .cpu = kernels::avg_pool_cpu,
                     .cuda = kernels::avg_pool_cuda,
                     .detail = detail,
                     .flops = flops};
const OpDef kAvgPoolGrad{.name = "avg_pool_grad",
                         .shape = avg_grad_shape,
                         .grad = avg_grad_rule,
                         .cpu = kernels::avg_pool_grad_cpu,
                         .cuda = kernels::avg_pool_grad_cuda,
                         .detail = avg_grad_detail,
                         .flops = avg_grad_flops,
                         .accumulates = first_output};

const OpDef kPoolStats{.name = "pool_stats",
                       .shape = stats_shape,
                       .grad = nullptr,
                       .cpu = kernels::pool_stats_cpu,
                       .cuda = kernels::pool_stats_cuda,
                       .detail = stats_detail,
                       .flops = stats_flops,
                       .bf16 = activations};
const OpDef kPoolStatsGrad{.name = "pool_stats_grad",
                           .shape = stats_grad_shape,
                           .grad = nullptr,
                           .cpu = kernels::pool_stats_grad_cpu,
                           .cuda = kernels::pool_stats_grad_cuda,
                           .detail = stats_grad_detail,
                           .flops = stats_grad_flops,
                           .accumulates = every_output,
                           .bf16 = activations};

Value max_pool(Graph& g, Value x, const PoolAttrs& attrs) { return g.add(kMaxPool, {x}, attrs)[0]; }
Value avg_pool(Graph& g, Value x, const PoolAttrs& attrs) { return g.add(kAvgPool, {x}, attrs)[0]; }

}  // namespace mixop::autograd
