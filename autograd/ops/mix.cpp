#include "autograd/ops/mix.h"

namespace mixop::autograd {
namespace {
using kernels::MixAttrs;
using kernels::MixReduceAttrs;
using kernels::ScaleAttrs;

const std::vector<MixAttrs::Term>& terms_of(const Node& n) { return n.attr<MixAttrs>().terms; }

void check_index(const Graph& g, const Node& n, Value table, int64_t index) {
  const Shape& s = g.shape(table);
  MIXOP_CHECK(index >= 0 && index < s.elements(), n.op->name, ": element ", index, " does not exist in the table ",
              s);
}

/// The terms' operands, the first z being input `first`: their number, and that all z are like `like` (empty: the
/// first z) and the constants of normalised ones like its channels.
template <class Term>
void check_terms(const Graph& g, const Node& n, const std::vector<Term>& terms, size_t first, Value table,
                 Value like) {
  MIXOP_CHECK(!terms.empty(), n.op->name, ": no terms");
  size_t at = first;
  for (const Term& t : terms) at += t.inputs();
  MIXOP_CHECK(n.inputs.size() == at, n.op->name, ": its terms need ", at, " inputs, got ", n.inputs.size());
  if (!like) like = n.inputs[first];
  const TensorSpec& want = g.spec(like);
  MIXOP_CHECK(!table || (want.dtype == g.spec(table).dtype && want.dtype != DType::kI32), n.op->name,
              ": the table is ", kernels::name_of(g.spec(table).dtype), ", the terms are ",
              kernels::name_of(want.dtype));
  at = first;
  for (const Term& t : terms) {
    if (table) check_index(g, n, table, t.index);
    const TensorSpec& z = g.spec(n.inputs[at]);
    MIXOP_CHECK(z.shape == want.shape && z.dtype == want.dtype, n.op->name, ": the term of element ", t.index,
                " has shape ", z.shape, ", expected ", want.shape);
    for (int i = 1; i <= t.load.inputs(); ++i)
      MIXOP_CHECK(g.shape(n.inputs[at + i]) == Shape{want.shape.last()}, n.op->name, ": input ", at + i, " ",
                  g.shape(n.inputs[at + i]), " must have one element a channel of ", want.shape);
    if (t.sampled)
      MIXOP_CHECK(g.shape(n.inputs[at + t.inputs() - 1]) == Shape{want.shape[0]}, n.op->name, ": the factors ",
                  g.shape(n.inputs[at + t.inputs() - 1]), " must be one a sample of ", want.shape);
    at += t.inputs();
  }
}

std::vector<TensorSpec> mix_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<MixAttrs>();
  MIXOP_CHECK(n.inputs.size() > a.first_term(), "mix: no terms");
  check_terms(g, n, a.terms, a.first_term(), a.plain ? Value() : n.inputs[0], {});
  return {g.spec(n.inputs[a.first_term()])};
}
std::vector<TensorSpec> scale_shape(const Graph& g, const Node& n) {
  MIXOP_CHECK(n.inputs.size() == 2, "scale: expected a table and a tensor, got ", n.inputs.size(), " inputs");
  check_index(g, n, n.inputs[0], n.attr<ScaleAttrs>().index);
  return {g.spec(n.inputs[1])};
}
std::vector<TensorSpec> weight_grad_shape(const Graph& g, const Node& n) {
  MIXOP_CHECK(n.inputs.size() >= 3, "mix_weight_grad: no terms");
  check_terms(g, n, terms_of(n), 2, n.inputs[1], n.inputs[0]);
  return {g.spec(n.inputs[1])};
}

std::vector<TensorSpec> reduce_shape(const Graph& g, const Node& n) {
  const auto& a = n.attr<MixReduceAttrs>();
  MIXOP_CHECK(n.inputs.size() > a.first_term(), "mix_reduce: no terms");
  check_terms(g, n, a.terms, a.first_term(), a.table ? n.inputs[1] : Value(), n.inputs[0]);
  const TensorSpec& arriving = g.spec(n.inputs[0]);
  MIXOP_CHECK(a.table || !a.dtable, "mix_reduce: the gradient of a table needs the table's shape");
  std::vector<TensorSpec> out;
  if (a.dtable) out.push_back(g.spec(n.inputs[1]));
  for (const MixReduceAttrs::Term& t : a.terms) {
    MIXOP_CHECK(!t.load.relu && (t.load.norm || !t.sums), "mix_reduce: sums are those of a norm, not of a relu");
    MIXOP_CHECK((a.table || !t.scaled) && (a.dtable || !t.weighted), "mix_reduce: a term needs a table");
    if (t.sums) out.insert(out.end(), 2, {Shape{arriving.shape.last()}, arriving.dtype});
  }
  return out;
}

/// Rules are asked for before any transform is moved into the terms.
void check_unfused(const Node& n) {
  MIXOP_CHECK(!n.attr<MixAttrs>().plain, n.op->name, ": take gradients before fusing the graph");
  for (const MixAttrs::Term& t : terms_of(n))
    MIXOP_CHECK(t.load.none(), n.op->name, ": take gradients before fusing the graph");
}

void mix_rule(GradContext& ctx) {
  const Node& n = ctx.node();
  check_unfused(n);
  const int terms = static_cast<int>(terms_of(n).size());
  for (int t = 0; t < terms; ++t)
    if (ctx.wants(1 + t)) ctx.set(1 + t, scale(ctx.graph, ctx.in(0), ctx.dy(), terms_of(n)[t].index));
  if (!ctx.wants(0)) return;
  std::vector<Value> inputs = {ctx.dy()};
  inputs.insert(inputs.end(), n.inputs.begin(), n.inputs.end());
  ctx.set(0, ctx.graph.add(kMixWeightGrad, inputs, n.attrs)[0]);
}

void scale_rule(GradContext& ctx) {
  const int64_t index = ctx.node().attr<ScaleAttrs>().index;
  if (ctx.wants(1)) ctx.set(1, scale(ctx.graph, ctx.in(0), ctx.dy(), index));
  if (ctx.wants(0))
    ctx.set(0, ctx.graph.add(kMixWeightGrad, {ctx.dy(), ctx.in(0), ctx.in(1)}, MixAttrs{{{index, {}}}})[0]);
}

/// It is linear in G and in each z; the table gives only the shape.
void weight_grad_rule(GradContext& ctx) {
  const Node& n = ctx.node();
  check_unfused(n);
  const int terms = static_cast<int>(terms_of(n).size());
  if (ctx.wants(0)) {
    std::vector<Value> inputs = {ctx.dy()};
    inputs.insert(inputs.end(), n.inputs.begin() + 2, n.inputs.end());
    ctx.set(0, ctx.graph.add(kMix, inputs, n.attrs)[0]);
  }
  for (int t = 0; t < terms; ++t)
    if (ctx.wants(2 + t)) ctx.set(2 + t, scale(ctx.graph, ctx.dy(), ctx.in(0), terms_of(n)[t].index));
}

double scale_flops(const Graph&, const Node& n) { return static_cast<double>(n.outputs[0].shape.elements()); }
double mix_flops(const Graph& g, const Node& n) {
  double per_element = 0;
  for (const MixAttrs::Term& t : terms_of(n)) per_element += 2 + (t.load.norm ? 2 : 0) + (t.load.affine ? 1 : 0);
  return per_element *
         static_cast<double>(g.shape(n.inputs[n.op == &kMix ? n.attr<MixAttrs>().first_term() : 0]).elements());
}
std::string mix_detail(const Node& n) { return n.attr<MixAttrs>().plain ? "plain" : ""; }
double reduce_flops(const Graph& g, const Node& n) {
  double per_element = 1;
  for (const MixReduceAttrs::Term& t : n.attr<MixReduceAttrs>().terms) per_element += t.load.norm ? 3 : 2;
  return per_element * static_cast<double>(g.shape(n.inputs[0]).elements());
}
std::string reduce_detail(const Node& n) {
  const auto& a = n.attr<MixReduceAttrs>();
  std::string s = a.dtable ? "dtable " : "";
  for (const MixReduceAttrs::Term& t : a.terms) {
    s += t.sums ? 's' : t.load.norm ? 'n' : 'p';
    if (t.sampled) s += 'f';
  }
  return s;
}
}  // namespace

const OpDef kMix{.name = "mix",
                 .shape = mix_shape,
                 .grad = mix_rule,
                 .cpu = kernels::mix_cpu,
                 .cuda = kernels::mix_cuda,
                 .detail = mix_detail,
                 .flops = mix_flops,
                 .accumulates = first_output,
                 .bf16 = activations};
const OpDef kScale{.name = "scale",
                   .shape = scale_shape,
                   .grad = scale_rule,
                   .cpu = kernels::scale_cpu,
                   .cuda = kernels::scale_cuda,
                   .flops = scale_flops,
                   .accumulates = first_output,
                   .bf16 = activations};
const OpDef kMixWeightGrad{.name = "mix_weight_grad",
                           .shape = weight_grad_shape,
                           .grad = weight_grad_rule,
                           .cpu = kernels::mix_weight_grad_cpu,
                           .cuda = kernels::mix_weight_grad_cuda,
                           .flops = mix_flops,
                           .accumulates = first_output,
                           .bf16 = activations};
const OpDef kMixReduce{.name = "mix_reduce",
                       .shape = reduce_shape,
                       .grad = nullptr,
                       .cpu = kernels::mix_reduce_cpu,
                       .cuda = kernels::mix_reduce_cuda,
                       .detail = reduce_detail,
                       .flops = reduce_flops,
                       .accumulates = first_output,
                       .bf16 = activations};

Value mix(Graph& g, Value table, const std::vector<std::pair<int64_t, Value>>& terms) {
  MixAttrs attrs;
  std::vector<Value> inputs = {table};
  for (const auto& [index, z] : terms) {
    attrs.terms.push_back({index, {}});
    inputs.push_back(z);
  }
  return g.add(kMix, inputs, std::move(attrs))[0];
}

Value scale(Graph& g, Value table, Value x, int64_t index) {
  return g.add(kScale, {table, x}, ScaleAttrs{index})[0];
}

}  // namespace mixop::autograd
