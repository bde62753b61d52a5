// A bn_apply disappears into its readers when all of them can normalise on load: the state of a cell that the
// preprocessing ends in is never stored. Gradients do not change: those of the readers are with respect to what is
// loaded, as before. Runs last, when the fused nodes are there and grouped by what they read.
#include <map>
#include <set>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/separable.h"
#include "autograd/passes/conditions.h"
#include "autograd/passes/passes.h"

namespace mixop::autograd {
namespace {

using kernels::MixAttrs;
using kernels::MixReduceAttrs;
using kernels::OnLoad;
using kernels::PoolGradGroup;
using kernels::PoolStatsAttrs;
using kernels::PoolStatsGradAttrs;
using kernels::SeparableAttrs;
using kernels::SeparableGradAttrs;
using kernels::SeparableGradUnit;

/// An operand that is read through a transform, whose constants follow it among the inputs.
struct Loaded {
  size_t at;
  OnLoad* load;
};

/// A copy of a node's attributes, and the transforms in it.
struct Loads {
  std::shared_ptr<const void> attrs;
  std::vector<Loaded> operands;
};

template <class Part>
size_t x_at(const Part&) {
  return 0;
}
size_t x_at(const SeparableGradUnit& u) { return u.x_at(); }

template <class Part>
bool reads_x(const Part&) {
  return true;
}
bool reads_x(const PoolGradGroup& group) { return group.reads_x; }

/// The attributes list units, groups or terms, whose operands begin at input `first`.
template <class Attrs, class Part>
Loads loads_of(const Node& n, std::vector<Part> Attrs::*parts, size_t first) {
  const auto attrs = std::make_shared<Attrs>(n.attr<Attrs>());
  Loads loads{attrs, {}};
  for (Part& part : (*attrs).*parts) {
    if (reads_x(part)) loads.operands.push_back({first + x_at(part), &part.load});
    first += part.inputs();
  }
  return loads;
}

Loads loads_of(const Node& n) {
  if (n.op == &kSeparable) return loads_of(n, &SeparableAttrs::units, 0);
  if (n.op == &kSeparableGrad) return loads_of(n, &SeparableGradAttrs::units, 0);
  if (n.op == &kPoolStats) return loads_of(n, &PoolStatsAttrs::units, 0);
  if (n.op == &kPoolStatsGrad)
    return loads_of(n, &PoolStatsGradAttrs::groups, n.attr<PoolStatsGradAttrs>().table ? 1 : 0);
  if (n.op == &kMix) return loads_of(n, &MixAttrs::terms, n.attr<MixAttrs>().first_term());
  if (n.op == &kMixWeightGrad) return loads_of(n, &MixAttrs::terms, 2);
  if (n.op == &kMixReduce) return loads_of(n, &MixReduceAttrs::terms, n.attr<MixReduceAttrs>().first_term());
  return {};
}

/// The norms that all readers can apply: whose operand they are that has none yet.
std::set<Value> absorbable(const Graph& g, const std::vector<Value>& outputs) {
  std::map<Value, int> others;  // readers that cannot
  for (const Value v : outputs) ++others[v];
  for (int i = 0; i < g.size(); ++i) {
    for (const Value v : g.node(i).inputs) ++others[v];
    for (const Loaded& l : loads_of(g.node(i)).operands)
      if (const Value v = g.node(i).inputs[l.at];
          !l.load->norm && g.node(v).op == &kBnApply && may_absorb(g, v.node, i, static_cast<int>(l.at)))
        --others[v];
  }
  std::set<Value> norms;
  for (const auto& [v, count] : others)
    if (count == 0 && g.node(v).op == &kBnApply) norms.insert(v);
  return norms;
}

}  // namespace

void absorb_norms(Graph& graph, const std::vector<Value>& outputs) {
  const std::set<Value> norms = absorbable(graph, outputs);
  for (int i = 0; i < graph.size(); ++i) {
    Node& n = graph.node(i);
    const Loads loads = loads_of(n);
    std::vector<Value> inputs;
    size_t next = 0;
    for (const auto& [at, load] : loads.operands) {
      if (!norms.contains(n.inputs[at])) continue;
      const Node& norm = graph.node(n.inputs[at]);
      inputs.insert(inputs.end(), n.inputs.begin() + static_cast<int64_t>(next),
                    n.inputs.begin() + static_cast<int64_t>(at));
      inputs.insert(inputs.end(), norm.inputs.begin(), norm.inputs.end());
      load->norm = true;
      load->affine = norm.attr<kernels::BatchNormAttrs>().affine;
      next = at + 1;
    }
    if (next == 0) continue;
    inputs.insert(inputs.end(), n.inputs.begin() + static_cast<int64_t>(next), n.inputs.end());
    n.inputs = std::move(inputs);
    n.attrs = loads.attrs;
  }
}

}  // namespace mixop::autograd
