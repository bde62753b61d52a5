#include "autograd/ops/dropout.h"

namespace mixop::autograd {
namespace {
using kernels::BernoulliAttrs;
using kernels::MaskScaleAttrs;

void check_keep(const char* op, double keep) {
  MIXOP_CHECK(keep >= 0 && keep <= 1, op, ": the keep probability ", keep, " is not in [0, 1]");
}
/// Inputs from `first` on are scalars.
void check_scalars(const Graph& g, const Node& n, size_t first) {
  for (size_t i = first; i < n.inputs.size(); ++i)
    MIXOP_CHECK(g.shape(n.inputs[i]) == Shape{1}, n.op->name, ": counter and keep must be [1], got ",
                g.shape(n.inputs[i]));
}

std::vector<TensorSpec> bernoulli_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<BernoulliAttrs>();
  check_keep("bernoulli", a.keep);
  check_scalars(g, n, 0);
  return {{a.shape, g.real()}};
}
std::vector<TensorSpec> mask_shape(const Graph& g, const Node& n) {
  const Shape &x = g.shape(n.inputs[0]), &mask = g.shape(n.inputs[1]);
  const bool sample = mask[0] == x[0] && mask.elements() == x[0] && (mask.rank() == 1 || mask.rank() == x.rank());
  MIXOP_CHECK(mask == x || sample, "mask_scale: the mask ", mask, " must have the shape of x ", x,
              " or one element a sample, [", x[0], "]");
  check_keep("mask_scale", n.attr<MaskScaleAttrs>().keep);
  check_scalars(g, n, 2);
  return {g.spec(n.inputs[0])};
}
void mask_rule(GradContext& ctx) {
  if (!ctx.dy() || !ctx.wants(0)) return;
  std::vector<Value> inputs = ctx.node().inputs;
  inputs[0] = ctx.dy();
  ctx.set(0, ctx.graph.add(kMaskScale, inputs, ctx.node().attrs)[0]);
}
double elements(const Graph&, const Node& n) { return 2 * static_cast<double>(n.outputs[0].shape.elements()); }
}  // namespace

const OpDef kBernoulli{.name = "bernoulli",
                       .shape = bernoulli_shape,
                       .grad = nullptr,
                       .cpu = kernels::bernoulli_cpu,
                       .cuda = kernels::bernoulli_cuda};
const OpDef kMaskScale{.name = "mask_scale",
                       .shape = mask_shape,
                       .grad = mask_rule,
                       .cpu = kernels::mask_scale_cpu,
                       .cuda = kernels::mask_scale_cuda,
                       .flops = elements,
                       .accumulates = first_output};

Value bernoulli(Graph& g, const Shape& shape, Keep keep, uint64_t seed, uint64_t stream, Value counter) {
  std::vector<Value> inputs = {counter};
  if (keep.now) inputs.push_back(keep.now);
  return g.add(kBernoulli, inputs, BernoulliAttrs{shape, keep.fixed, seed, stream})[0];
}

Value apply_mask(Graph& g, Value x, Value mask, Keep keep) {
  std::vector<Value> inputs = {x, mask};
  if (keep.now) inputs.push_back(keep.now);
  return g.add(kMaskScale, inputs, MaskScaleAttrs{keep.fixed})[0];
}

Value dropout(Graph& g, Value x, Keep keep, uint64_t seed, uint64_t stream, Value counter) {
  MIXOP_CHECK(x, "dropout: the input is missing");
  return apply_mask(g, x, bernoulli(g, g.shape(x), keep, seed, stream, counter), keep);
}

Value drop_path(Graph& g, Value x, Keep keep, uint64_t seed, uint64_t stream, Value counter) {
  MIXOP_CHECK(x, "drop_path: the input is missing");
  return apply_mask(g, x, bernoulli(g, {g.shape(x)[0]}, keep, seed, stream, counter), keep);
}

}  // namespace mixop::autograd
