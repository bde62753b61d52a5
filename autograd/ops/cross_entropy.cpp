#include "autograd/ops/cross_entropy.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"

namespace mixop::autograd {
namespace {
using kernels::CrossEntropyAttrs;
using kernels::TopKAttrs;

void check_labels(const Graph& g, const Node& n) {
  const TensorSpec &logits = g.spec(n.inputs[0]), &labels = g.spec(n.inputs[1]);
  MIXOP_CHECK(logits.shape.rank() == 2, n.op->name, ": logits must be [N,K], got ", logits.shape);
  MIXOP_CHECK((labels.shape == Shape{logits.shape[0]}) && labels.dtype == DType::kI32, n.op->name, ": logits ",
              logits.shape, " need labels [", logits.shape[0], "] of type int32, got ", labels.shape, " of ",
              name_of(labels.dtype));
}

TensorSpec loss_spec(const Graph& g, const Node& n) {
  const TensorSpec& logits = g.spec(n.inputs[0]);
  const bool none = n.attr<CrossEntropyAttrs>().reduction == Reduction::kNone;
  return {{none ? logits.shape[0] : 1}, logits.dtype};
}

std::vector<TensorSpec> hard_shape(const Graph& g, const Node& n) {
  check_labels(g, n);
  const double e = n.attr<CrossEntropyAttrs>().label_smoothing;
  MIXOP_CHECK(e >= 0 && e <= 1, "cross_entropy: label smoothing ", e, " is not in [0, 1]");
  return {loss_spec(g, n)};
}
std::vector<TensorSpec> soft_shape(const Graph& g, const Node& n) {
  const Shape &logits = g.shape(n.inputs[0]), &targets = g.shape(n.inputs[1]);
  MIXOP_CHECK(logits.rank() == 2 && logits == targets, "cross_entropy_soft: logits and targets must be [N,K], got ",
              logits, " and ", targets);
  return {loss_spec(g, n)};
}
size_t logits_at(const Node& n) { return n.attr<CrossEntropyAttrs>().unit ? 0 : 1; }
std::vector<TensorSpec> grad_shape(const Graph& g, const Node& n) { return {g.spec(n.inputs[logits_at(n)])}; }
std::vector<TensorSpec> top_k_shape(const Graph& g, const Node& n) {
  check_labels(g, n);
  const int k = n.attr<TopKAttrs>().k;
  MIXOP_CHECK(k >= 1 && k <= g.shape(n.inputs[0])[1], "top_k: k = ", k, " for logits ", g.shape(n.inputs[0]));
  return {{{1}, g.real()}};
}

void hard_rule(GradContext& ctx) {
  if (!ctx.dy() || !ctx.wants(0)) return;
  auto attrs = ctx.node().attr<CrossEntropyAttrs>();
  attrs.unit = is_constant(ctx.graph, ctx.dy(), 1);  // as it is where the loss is what gradients are asked of
  std::vector<Value> inputs{ctx.in(0), ctx.in(1)};
  if (!attrs.unit) inputs.insert(inputs.begin(), ctx.dy());
  ctx.set(0, ctx.graph.add(kCrossEntropyGrad, inputs, attrs)[0]);
}
void soft_rule(GradContext& ctx) {
  if (!ctx.dy()) return;
  Graph& g = ctx.graph;
  const auto attrs = ctx.node().attrs;
  if (ctx.wants(0)) ctx.set(0, g.add(kCrossEntropySoftGrad, {ctx.dy(), ctx.in(0), ctx.in(1)}, attrs)[0]);
  if (ctx.wants(1)) ctx.set(1, g.add(kCrossEntropySoftTargetGrad, {ctx.dy(), ctx.in(0)}, attrs)[0]);
}

/// What multiplies the rows of a gradient [N, K] of the loss, [N, 1] or [1].
Value row_weights(GradContext& ctx) {
  Graph& g = ctx.graph;
  const auto& attrs = ctx.node().attr<CrossEntropyAttrs>();
  MIXOP_CHECK(!attrs.ignore_index, ctx.node().op->name, ": no second derivative with a label to ignore");
  const int64_t n = ctx.node().outputs[0].shape[0];
  const Value dloss = attrs.unit ? constant(g, {1}, 1) : ctx.in(0);
  if (attrs.reduction == Reduction::kNone) return reshape(g, dloss, {n, 1});
  return attrs.reduction == Reduction::kMean ? times(g, dloss, 1.0 / static_cast<double>(n)) : dloss;
}
/// The gradients are linear in dloss, their first operand: <u, what arrives where dloss is 1>, row by row or in
/// all.
void set_dloss(GradContext& ctx) {
  if (ctx.node().attr<CrossEntropyAttrs>().unit || !ctx.wants(0)) return;
  Graph& g = ctx.graph;
  std::vector<Value> inputs = ctx.node().inputs;
  inputs[0] = constant(g, g.shape(inputs[0]), 1);
  const Value product = mul(g, ctx.dy(), g.add(*ctx.node().op, inputs, ctx.node().attrs)[0]);
  const bool none = ctx.node().attr<CrossEntropyAttrs>().reduction == Reduction::kNone;
  ctx.set(0, reduce_sum(g, product, none ? std::vector{1} : std::vector<int>{}));
}
/// Of softmax(logits), times `rows` in each row: what arrives there is u.
Value through_softmax(Graph& g, Value u, Value rows, Value logits) {
  return g.add(kSoftmaxGrad, {mul(g, u, rows), softmax(g, logits)}, kernels::SoftmaxAttrs{1})[0];
}
/// dlogits = rows (softmax(logits) - target)
void hard_grad_rule(GradContext& ctx) {
  const Value rows = row_weights(ctx);
  set_dloss(ctx);
  const int at = static_cast<int>(logits_at(ctx.node()));
  if (ctx.wants(at)) ctx.set(at, through_softmax(ctx.graph, ctx.dy(), rows, ctx.in(at)));
}
/// dlogits = rows (softmax(logits) sum targets - targets)
void soft_grad_rule(GradContext& ctx) {
  Graph& g = ctx.graph;
  const Value rows = row_weights(ctx), logits = ctx.in(1), targets = ctx.in(2);
  set_dloss(ctx);
  if (ctx.wants(1))
    ctx.set(1, through_softmax(g, ctx.dy(), mul(g, rows, reduce_sum(g, targets, {1}, true)), logits));
  if (!ctx.wants(2)) return;
  const Value mean = reduce_sum(g, mul(g, ctx.dy(), softmax(g, logits)), {1}, true);
  ctx.set(2, mul(g, rows, sub(g, mean, ctx.dy())));
}
/// dtargets = -rows log_softmax(logits)
void soft_target_grad_rule(GradContext& ctx) {
  Graph& g = ctx.graph;
  const Value rows = row_weights(ctx), logits = ctx.in(1);
  set_dloss(ctx);
  if (!ctx.wants(1)) return;
  const Value arriving = mul(g, ctx.dy(), times(g, rows, -1));
  ctx.set(1, g.add(kLogSoftmaxGrad, {arriving, log_softmax(g, logits)}, kernels::SoftmaxAttrs{1})[0]);
}

double loss_flops(const Graph& g, const Node& n) {
  return 4 * static_cast<double>(g.shape(n.inputs[0]).elements());
}
double grad_flops(const Graph& g, const Node& n) {
  return 6 * static_cast<double>(g.shape(n.inputs[logits_at(n)]).elements());
}

using Table = std::span<const kernels::Impl> (*)();
OpDef grad_op(const char* name, void (*rule)(GradContext&), Table cpu, Table cuda) {
  return {.name = name,
          .shape = grad_shape,
          .grad = rule,
          .cpu = cpu,
          .cuda = cuda,
          .flops = grad_flops,
          .accumulates = first_output};
}
}  // namespace

const OpDef kCrossEntropy{.name = "cross_entropy",
                          .shape = hard_shape,
                          .grad = hard_rule,
                          .cpu = kernels::cross_entropy_cpu,
                          .cuda = kernels::cross_entropy_cuda,
                          .flops = loss_flops};
const OpDef kCrossEntropySoft{.name = "cross_entropy_soft",
                              .shape = soft_shape,
                              .grad = soft_rule,
                              .cpu = kernels::cross_entropy_soft_cpu,
                              .cuda = kernels::cross_entropy_soft_cuda,
                              .flops = loss_flops};
const OpDef kCrossEntropyGrad = grad_op("cross_entropy_grad", hard_grad_rule, kernels::cross_entropy_grad_cpu,
                                        kernels::cross_entropy_grad_cuda);
const OpDef kCrossEntropySoftGrad =
    grad_op("cross_entropy_soft_grad", soft_grad_rule, kernels::cross_entropy_soft_grad_cpu,
            kernels::cross_entropy_soft_grad_cuda);
const OpDef kCrossEntropySoftTargetGrad =
    grad_op("cross_entropy_soft_target_grad", soft_target_grad_rule, kernels::cross_entropy_soft_target_grad_cpu,
            kernels::cross_entropy_soft_target_grad_cuda);
const OpDef kTopK{
    .name = "top_k", .shape = top_k_shape, .grad = nullptr, .cpu = kernels::top_k_cpu, .cuda = kernels::top_k_cuda};

Value cross_entropy(Graph& g, Value logits, Value labels, double label_smoothing, Reduction reduction,
                    std::optional<int> ignore_index) {
  return g.add(kCrossEntropy, {logits, labels}, CrossEntropyAttrs{label_smoothing, reduction, ignore_index})[0];
}
Value cross_entropy_soft(Graph& g, Value logits, Value targets, Reduction reduction) {
  return g.add(kCrossEntropySoft, {logits, targets}, CrossEntropyAttrs{0, reduction, {}})[0];
}
Value top1(Graph& g, Value logits, Value labels) { return top_k(g, logits, labels, 1); }
Value top_k(Graph& g, Value logits, Value labels, int k) { return g.add(kTopK, {logits, labels}, TopKAttrs{k})[0]; }

}  // namespace mixop::autograd
