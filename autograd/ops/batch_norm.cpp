#include "autograd/ops/batch_norm.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/reduce.h"

namespace mixop::autograd {
namespace {
using kernels::BatchNormAttrs;

const BatchNormAttrs& attrs_of(const Node& n) { return n.attr<BatchNormAttrs>(); }

/// Checks the number of inputs and that inputs [from, to) have one element a channel of x.
void check_inputs(const Graph& g, const Node& n, int x, size_t count, size_t from, size_t to) {
  MIXOP_CHECK(n.inputs.size() == count, n.op->name, ": its attributes need ", count, " inputs, got ",
              n.inputs.size());
  const TensorSpec& xs = g.spec(n.inputs[x]);
  for (size_t i = from; i < to; ++i) {
    const TensorSpec& s = g.spec(n.inputs[i]);
    MIXOP_CHECK(s.shape == Shape{xs.shape.last()} && s.dtype == xs.dtype, n.op->name, ": input ", i, " ", s.shape,
                " must have one element a channel of x ", xs.shape, " and its type");
  }
}

/// dy, input `first`, and x behind it agree; the table, when there is one, has the element asked for.
void check_gradient(const Graph& g, const Node& n, int first) {
  const Shape &dy = g.shape(n.inputs[first]), &x = g.shape(n.inputs[first + 1]);
  MIXOP_CHECK(dy == x, n.op->name, ": dy ", dy, " must have the shape of x ", x);
  if (!attrs_of(n).scaled) return;
  const Shape& table = g.shape(n.inputs.back());
  const int64_t i = attrs_of(n).scale_index;
  MIXOP_CHECK(i >= 0 && i < table.elements(), n.op->name, ": element ", i, " does not exist in the table ", table);
}

std::vector<TensorSpec> stats_shape(const Graph& g, const Node& n) {
  const int pairs = attrs_of(n).running;
  MIXOP_CHECK(pairs >= 0 && pairs <= kernels::kMostRunning, "bn_stats: at most ", kernels::kMostRunning,
              " pairs of running statistics follow one norm, got ", pairs);
  const auto count = static_cast<size_t>(1 + 2 * pairs);
  check_inputs(g, n, 0, count, 1, count);
  for (size_t i = 1; i < count; ++i)
    MIXOP_CHECK(g.node(n.inputs[i]).store, "bn_stats: running statistics are written and must lie in a store");
  const TensorSpec& x = g.spec(n.inputs[0]);
  MIXOP_CHECK(x.shape.rank() >= 2 && x.shape.elements() > 0 && x.dtype != DType::kI32, "bn_stats: x ", x.shape,
              " must be a non-empty float tensor with channels last and at least one axis before them");
  return std::vector<TensorSpec>(3, TensorSpec{{x.shape.last()}, x.dtype});
}
std::vector<TensorSpec> rstd_shape(const Graph& g, const Node& n) {
  const auto count = static_cast<size_t>(attrs_of(n).count);
  MIXOP_CHECK(count >= 1 && n.inputs.size() == count, "bn_rstd: its attributes need ", count, " inputs, got ",
              n.inputs.size());
  std::vector<TensorSpec> out;
  for (const Value v : n.inputs) {
    MIXOP_CHECK(g.shape(v).rank() == 1, "bn_rstd: the variances ", g.shape(v), " must be a vector over channels");
    out.push_back(g.spec(v));
  }
  return out;
}
std::vector<TensorSpec> apply_shape(const Graph& g, const Node& n) {
  const size_t count = attrs_of(n).affine ? 5 : 3;
  check_inputs(g, n, 0, count, 1, count);
  MIXOP_CHECK(g.shape(n.inputs[0]).rank() >= 2, "bn_apply: x ", g.shape(n.inputs[0]), " must have rank >= 2");
  return {g.spec(n.inputs[0])};
}
std::vector<TensorSpec> reduce_shape(const Graph& g, const Node& n) {
  const int count = attrs_of(n).count;
  MIXOP_CHECK(count >= 1, "bn_reduce: it takes the sums of at least one norm, got ", count);
  MIXOP_CHECK(count == 1 || !attrs_of(n).scaled, "bn_reduce: a table scales the gradient of one norm, got ", count);
  std::vector<TensorSpec> out;
  for (int i = 0; i < count; ++i) {
    const size_t first = static_cast<size_t>(4 * i);
    check_inputs(g, n, 4 * i + 1, static_cast<size_t>(4 * count + attrs_of(n).scaled), first + 2, first + 4);
    check_gradient(g, n, 4 * i);
    out.insert(out.end(), 2, g.spec(n.inputs[first + 2]));
  }
  return out;
}
std::vector<TensorSpec> grad_shape(const Graph& g, const Node& n) {
  const size_t vectors = 6 + attrs_of(n).affine;
  check_inputs(g, n, 1, vectors + attrs_of(n).scaled, 2, vectors);
  check_gradient(g, n, 0);
  return {g.spec(n.inputs[1])};
}

/// The complete gradient of batch normalisation: mean and rstd, when they come from x itself, carry none of their
/// own.
void apply_rule(GradContext& ctx) {
  const Value dy = ctx.dy(), x = ctx.in(0), mean = ctx.in(1), rstd = ctx.in(2);
  const BatchNormAttrs attrs = attrs_of(ctx.node());
  const bool scale = attrs.affine && ctx.wants(3), shift = attrs.affine && ctx.wants(4);
  std::vector<Value> sums = {mean, mean};  // evaluation ignores the values of these operands
  if (scale || shift || (attrs.training && ctx.wants(0))) {
    sums = ctx.graph.add(kBnReduce, {dy, x, mean, rstd}, attrs);
    if (scale) ctx.set(3, sums[1]);
    if (shift) ctx.set(4, sums[0]);
  }
  if (!ctx.wants(0)) return;
  std::vector<Value> inputs = {dy, x, mean, rstd, sums[0], sums[1]};
  if (attrs.affine) inputs.push_back(ctx.in(3));
  ctx.set(0, ctx.graph.add(kBnGrad, inputs, attrs)[0]);
}

int64_t rows_of(const Shape& x) { return x.elements() / x.last(); }
/// sum over rows of a b, one element a channel.
Value channel_dot(Graph& g, Value a, Value b) {
  std::vector<int> axes;
  for (int k = 0; k + 1 < g.shape(a).rank(); ++k) axes.push_back(k);
  return reduce_sum(g, mul(g, a, b), axes);
}
void check_unfused(const Node& n) {
  MIXOP_CHECK(attrs_of(n).count == 1 && !attrs_of(n).scaled, n.op->name,
              ": take gradients before fusing the graph");
}

/// What second derivatives send to mean and rstd themselves: with M rows, d mean = 1 / M and
/// d rstd = -rstd^2 zhat / M.
void stats_rule(GradContext& ctx) {
  Graph& g = ctx.graph;
  const Value x = ctx.in(0), mean = ctx.out(0), rstd = ctx.out(2);
  MIXOP_CHECK(!ctx.dy(1), "bn_stats: the variance has no gradient");
  if (!ctx.wants(0)) return;
  BatchNormAttrs attrs = attrs_of(ctx.node());
  attrs.affine = true;
  const double m = static_cast<double>(rows_of(g.shape(x)));
  const auto part = [&](Value v, double factor) { return v ? times(g, v, factor / m) : zeros(g, g.shape(mean)); };
  const Value by_rstd = ctx.dy(2) ? mul(g, ctx.dy(2), mul(g, rstd, rstd)) : Value();
  ctx.set(0, g.add(kBnApply, {x, mean, rstd, part(by_rstd, -1), part(ctx.dy(0), 1)}, attrs)[0]);
}

/// With a and b arriving at s1 and s2, dy gets a + zhat b, and zhat gets b dy, which goes back through the norm as
/// the first gradient did (mean and rstd included, as in apply_rule).
void reduce_rule(GradContext& ctx) {
  Graph& g = ctx.graph;
  check_unfused(ctx.node());
  const Value dy = ctx.in(0), x = ctx.in(1), mean = ctx.in(2), rstd = ctx.in(3);
  BatchNormAttrs attrs = attrs_of(ctx.node());
  attrs.affine = true;
  const Value none = ctx.dy(0) && ctx.dy(1) ? Value() : zeros(g, g.shape(mean));
  const Value a = ctx.dy(0) ? ctx.dy(0) : none, b = ctx.dy(1) ? ctx.dy(1) : none;
  if (ctx.wants(0)) ctx.set(0, g.add(kBnApply, {x, mean, rstd, b, a}, attrs)[0]);
  if (ctx.wants(1) && ctx.dy(1))
    ctx.set(1, g.add(kBnGrad, {dy, x, mean, rstd, ctx.out(0), ctx.out(1), b}, attrs)[0]);
}

/// dx = w (dy - s1 / M - zhat s2 / M) with w = gamma rstd. The gradient u that arrives has sums U1, U2 of its own,
/// which are those of s1, s2 (times -w / M); that of zhat, -w s2 / M u, goes back through the norm; those of rstd
/// and gamma share sum(u dx / w).
void grad_rule(GradContext& ctx) {
  Graph& g = ctx.graph;
  check_unfused(ctx.node());
  BatchNormAttrs attrs = attrs_of(ctx.node());
  const Value u = ctx.dy(), dy = ctx.in(0), x = ctx.in(1), mean = ctx.in(2), rstd = ctx.in(3);
  const Value gamma = attrs.affine ? ctx.in(6) : Value();
  const Value w = gamma ? mul(g, gamma, rstd) : rstd;
  const double m = static_cast<double>(rows_of(g.shape(x)));
  const bool wants_gamma = gamma && ctx.wants(6);
  attrs.affine = true;
  if (ctx.wants(0)) ctx.set(0, mul(g, u, w));
  std::vector<Value> sums;
  if (attrs.training) {
    sums = g.add(kBnReduce, {u, x, mean, rstd}, attrs);
    for (int i = 0; i < 2; ++i)
      if (ctx.wants(4 + i)) ctx.set(4 + i, times(g, mul(g, w, sums[i]), -1 / m));
    const Value back = times(g, mul(g, w, ctx.in(5)), -1 / m);
    if (ctx.wants(1)) ctx.set(1, g.add(kBnGrad, {u, x, mean, rstd, sums[0], sums[1], back}, attrs)[0]);
  }
  if (!ctx.wants(3) && !wants_gamma) return;
  Value shared = channel_dot(g, u, dy);
  if (attrs.training) {
    const Value products = add(g, mul(g, ctx.in(4), sums[0]), mul(g, ctx.in(5), sums[1]));
    shared = sub(g, shared, times(g, products, 1 / m));
  }
  if (ctx.wants(3)) ctx.set(3, gamma ? mul(g, shared, gamma) : shared);
  if (wants_gamma) ctx.set(6, mul(g, shared, rstd));
}

double elements(const Graph& g, const Node& n, int x) {
  return static_cast<double>(g.shape(n.inputs[x]).elements());
}
double stats_flops(const Graph& g, const Node& n) { return 4 * elements(g, n, 0); }
double apply_flops(const Graph& g, const Node& n) { return (attrs_of(n).affine ? 3 : 2) * elements(g, n, 0); }
double reduce_flops(const Graph& g, const Node& n) {
  double flops = 0;
  for (int i = 0; i < attrs_of(n).count; ++i) flops += 4 * elements(g, n, 4 * i + 1);
  return flops;
}
double grad_flops(const Graph& g, const Node& n) { return (attrs_of(n).training ? 5 : 1) * elements(g, n, 1); }
}  // namespace

const OpDef kBnStats{.name = "bn_stats",
                     .shape = stats_shape,
                     .grad = stats_rule,
                     .cpu = kernels::bn_stats_cpu,
                     .cuda = kernels::bn_stats_cuda,
                     .flops = stats_flops};
const OpDef kBnRstd{.name = "bn_rstd",
                    .shape = rstd_shape,
                    .grad = nullptr,
                    .cpu = kernels::bn_rstd_cpu,
                    .cuda = kernels::bn_rstd_cuda};
const OpDef kBnApply{.name = "bn_apply",
                     .shape = apply_shape,
                     .grad = apply_rule,
                     .cpu = kernels::bn_apply_cpu,
                     .cuda = kernels::bn_apply_cuda,
                     .flops = apply_flops};
const OpDef kBnReduce{.name = "bn_reduce",
                      .shape = reduce_shape,
                      .grad = reduce_rule,
                      .cpu = kernels::bn_reduce_cpu,
                      .cuda = kernels::bn_reduce_cuda,
                      .flops = reduce_flops,
                      .bf16 = activations};
const OpDef kBnGrad{.name = "bn_grad",
                    .shape = grad_shape,
                    .grad = grad_rule,
                    .cpu = kernels::bn_grad_cpu,
                    .cuda = kernels::bn_grad_cuda,
                    .flops = grad_flops,
                    .accumulates = first_output};

Value batch_norm(Graph& g, Value x, const BatchNorm& bn) {
  MIXOP_CHECK(x, "batch_norm: the input is missing");
  MIXOP_CHECK(bool(bn.gamma) == bool(bn.beta), "batch_norm: give both gamma and beta, or neither");
  MIXOP_CHECK(bool(bn.running_mean) == bool(bn.running_var),
              "batch_norm: give both running_mean and running_var, or neither");
  MIXOP_CHECK(bn.training || bn.running_mean, "batch_norm: evaluation needs running_mean and running_var");
  BatchNormAttrs attrs;
  attrs.eps = bn.eps;
  attrs.momentum = bn.momentum;
  attrs.training = bn.training;
  attrs.affine = bool(bn.gamma);
  Value mean = bn.running_mean, rstd;
  if (bn.training) {
    std::vector<Value> inputs = {x};
    if (bn.running_mean) inputs.insert(inputs.end(), {bn.running_mean, bn.running_var});
    for (const auto& [running_mean, running_var] : bn.more_running) {
      MIXOP_CHECK(running_mean && running_var, "batch_norm: a further pair of running statistics is incomplete");
      inputs.insert(inputs.end(), {running_mean, running_var});
    }
    attrs.running = static_cast<int>(inputs.size() / 2);
    const std::vector<Value> stats = g.add(kBnStats, inputs, attrs);
    mean = stats[0];
    rstd = stats[2];
  } else {
    rstd = g.add(kBnRstd, {bn.running_var}, attrs)[0];
  }
  std::vector<Value> inputs = {x, mean, rstd};
  if (attrs.affine) inputs.insert(inputs.end(), {bn.gamma, bn.beta});
  return g.add(kBnApply, inputs, attrs)[0];
}

}  // namespace mixop::autograd
