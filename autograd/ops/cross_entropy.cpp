#include "autograd/ops/cross_entropy.h"

#include "autograd/ops/copy.h"

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

double loss_flops(const Graph& g, const Node& n) {
  return 4 * static_cast<double>(g.shape(n.inputs[0]).elements());
}
double grad_flops(const Graph& g, const Node& n) {
  return 6 * static_cast<double>(g.shape(n.inputs[logits_at(n)]).elements());
}

using Table = std::span<const kernels::Impl> (*)();
OpDef grad_op(const char* name, Table cpu, Table cuda) {
  return {.name = name,
          .shape = grad_shape,
          .grad = nullptr,
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
const OpDef kCrossEntropyGrad =
    grad_op("cross_entropy_grad", kernels::cross_entropy_grad_cpu, kernels::cross_entropy_grad_cuda);
const OpDef kCrossEntropySoftGrad =
    grad_op("cross_entropy_soft_grad", kernels::cross_entropy_soft_grad_cpu, kernels::cross_entropy_soft_grad_cuda);
const OpDef kCrossEntropySoftTargetGrad =
    grad_op("cross_entropy_soft_target_grad", kernels::cross_entropy_soft_target_grad_cpu,
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
