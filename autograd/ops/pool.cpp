#include "autograd/ops/pool.h"

namespace mixop::autograd {
namespace {
using kernels::AvgPoolGradAttrs;
using kernels::PoolAxis;
using kernels::PoolStatsAttrs;
using kernels::PoolStatsGradAttrs;

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
std::vector<TensorSpec> stats_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<PoolStatsAttrs>();
  MIXOP_CHECK(a.norm.running >= 0 && a.norm.running <= kernels::kMostRunning, n.op->name, ": at most ",
              kernels::kMostRunning, " pairs of running statistics, got ", a.norm.running);
  const auto count = static_cast<size_t>(1 + 2 * a.norm.running);
  MIXOP_CHECK(n.inputs.size() == count, n.op->name, ": its attributes need ", count, " inputs, got ",
              n.inputs.size());
  if (!a.max) check_no_dilation(n, a.pool);
  const TensorSpec& x = g.spec(n.inputs[0]);
  const Shape z = pooled(n, a.pool, x.shape);
  check_vectors(g, n, 1, count, z[3]);
  const TensorSpec vector{{z[3]}, x.dtype};
  return {{z, x.dtype}, vector, vector, vector};
}
std::vector<TensorSpec> stats_grad_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<PoolStatsGradAttrs>();
  const size_t count = a.x_at() + (a.max ? 1 : 0);
  MIXOP_CHECK(n.inputs.size() == count, n.op->name, ": its attributes need ", count, " inputs, got ",
              n.inputs.size());
  if (!a.max) check_no_dilation(n, a.pool);
  const Shape z = pooled(n, a.pool, a.x);
  check_dy(g, n, z);
  MIXOP_CHECK(g.shape(n.inputs[1]) == z, n.op->name, ": z ", g.shape(n.inputs[1]), " must be the pooled ", z);
  check_vectors(g, n, 2, 6, z[3]);
  if (a.norm.scaled) {
    const Shape& table = g.shape(n.inputs[6]);
    const int64_t i = a.norm.scale_index;
    MIXOP_CHECK(i >= 0 && i < table.elements(), n.op->name, ": element ", i, " does not exist in the table ",
                table);
  }
  MIXOP_CHECK(!a.max || g.shape(n.inputs[a.x_at()]) == a.x, n.op->name, ": x ", g.shape(n.inputs.back()),
              ", expected ", a.x);
  return {{a.x, g.spec(n.inputs[0]).dtype}};
}

void max_rule(GradContext& ctx) {
  if (ctx.wants(0)) ctx.set(0, ctx.graph.add(kMaxPoolGrad, {ctx.dy(), ctx.in(0)}, ctx.node().attrs)[0]);
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
  const Shape& z = n.outputs[0].shape;
  return windows_flops(n.attr<PoolStatsAttrs>().pool, z) + 4 * static_cast<double>(z.elements());
}
double stats_grad_flops(const Graph& g, const Node& n) {
  const Shape& z = g.shape(n.inputs[1]);
  return windows_flops(n.attr<PoolStatsGradAttrs>().pool, z) + 5 * static_cast<double>(z.elements());
}
std::string describe(const PoolAttrs& a) {
  return kernels::text("k", a.kernel[0], "x", a.kernel[1], " s", a.stride[0], "x", a.stride[1], " p", a.pad[0], ",",
                       a.pad[1], " d", a.dilation[0], "x", a.dilation[1], a.include_pad ? " include_pad" : "",
                       a.ceil_mode ? " ceil" : "");
}
std::string detail(const Node& n) { return describe(n.attr<PoolAttrs>()); }
std::string stats_detail(const Node& n) {
  const auto& a = n.attr<PoolStatsAttrs>();
  return (a.max ? "max " : "avg ") + describe(a.pool);
}
std::string stats_grad_detail(const Node& n) {
  const auto& a = n.attr<PoolStatsGradAttrs>();
  return (a.max ? "max " : "avg ") + describe(a.pool);
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
                         .grad = nullptr,
                         .cpu = kernels::max_pool_grad_cpu,
                         .cuda = kernels::max_pool_grad_cuda,
                         .detail = detail,
                         .flops = max_grad_flops,
                         .accumulates = true};
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
                         .accumulates = true};

const OpDef kPoolStats{.name = "pool_stats",
                       .shape = stats_shape,
                       .grad = nullptr,
                       .cpu = kernels::pool_stats_cpu,
                       .cuda = kernels::pool_stats_cuda,
                       .detail = stats_detail,
                       .flops = stats_flops};
const OpDef kPoolStatsGrad{.name = "pool_stats_grad",
                           .shape = stats_grad_shape,
                           .grad = nullptr,
                           .cpu = kernels::pool_stats_grad_cpu,
                           .cuda = kernels::pool_stats_grad_cuda,
                           .detail = stats_grad_detail,
                           .flops = stats_grad_flops,
                           .accumulates = true};

Value max_pool(Graph& g, Value x, const PoolAttrs& attrs) { return g.add(kMaxPool, {x}, attrs)[0]; }
Value avg_pool(Graph& g, Value x, const PoolAttrs& attrs) { return g.add(kAvgPool, {x}, attrs)[0]; }

}  // namespace mixop::autograd
