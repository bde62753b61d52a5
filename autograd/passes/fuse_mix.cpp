// Every reduction of one arriving gradient G, the bn_reduce of each candidate and the mix_weight_grad of the
// mixture, becomes one mix_reduce: G is read once, and the gradient of the table follows from the sums of the
// norms. A bn_reduce of G under drop path reads G too, and the factors of the samples.
#include <algorithm>
#include <map>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/mix.h"
#include "autograd/passes/conditions.h"
#include "autograd/passes/drop_path.h"
#include "autograd/passes/passes.h"
#include "autograd/passes/rewrite.h"

namespace mixop::autograd {
namespace {

using kernels::BatchNormAttrs;
using kernels::MixAttrs;
using kernels::MixReduceAttrs;

class Fuser {
 public:
  Fuser(Graph& g, std::vector<Value>& outputs) : r_(g, outputs) {}

  void run() {
    for (int i = 0; i < r_.graph().size(); ++i) {
      if ((reduces(i) || weighs(i)) && r_.free(i)) join(arriving(i), r_.node(i).when);
      if (r_.node(i).op == &kSum || r_.node(i).op == &kAdd) normalise_on_load(i);
    }
    r_.finish();
  }

 private:
  struct Term {
    MixReduceAttrs::Term attrs;
    std::vector<Value> operands;  ///< z [, mean, rstd [, gamma, beta]]
    int reduce = -1;              ///< the bn_reduce whose sums it gives
    int mask = -1;                ///< the mask_scale of G that it read, whose factors it takes
  };

  bool reduces(int i) const { return r_.node(i).op == &kBnReduce; }
  bool weighs(int i) const {
    if (r_.node(i).op != &kMixWeightGrad) return false;
    const auto& terms = r_.node(i).attr<MixAttrs>().terms;
    return std::none_of(terms.begin(), terms.end(), [](const MixAttrs::Term& t) { return t.load.relu; });
  }
  Value table_of(int i) const {
    const Node& n = r_.node(i);
    if (weighs(i)) return n.inputs[1];
    return n.attr<BatchNormAttrs>().scaled ? n.inputs.back() : Value();
  }

  /// The gradient whose reductions node i joins: what its norm gets before drop path, unless a mixture as a whole
  /// is dropped.
  Value arriving(int i) const {
    const Value v = r_.node(i).inputs[0];
    const auto& readers = r_.uses(v);
    const bool weighed = std::any_of(readers.begin(), readers.end(), [&](const Use& u) { return weighs(u.node); });
    const bool through = drops_samples(r_.graph(), v) && !weighed && there_for(r_.graph(), v.node, i);
    return through ? r_.node(v.node).inputs[0] : v;
  }

  /// Nodes that reduce g, or g under drop path, at the same times.
  std::vector<int> reductions(Value g, const Condition& when) const {
    std::vector<int> out;
    const auto collect = [&](Value v) {
      for (const Use& use : r_.uses(v))
        if (use.input == 0 && r_.free(use.node) && (reduces(use.node) || weighs(use.node)) &&
            r_.node(use.node).when == when && arriving(use.node) == g)
          out.push_back(use.node);
    };
    collect(g);
    for (const Use& use : r_.uses(g))
      if (use.input == 0 && drops_samples(r_.graph(), {use.node, 0})) collect({use.node, 0});
    return out;
  }

  void join(Value g, const Condition& when) {
    std::vector<int> nodes;
    Value table;
    int weights = -1;
    bool sampled = false;
    for (const int i : reductions(g, when)) {
      const Value its = table_of(i);
      if (its && table && its != table) continue;
      if (weighs(i) && weights >= 0) continue;
      if (weighs(i)) weights = i;
      if (its) table = its;
      sampled = sampled || r_.node(i).inputs[0] != g;
      nodes.push_back(i);
    }
    for (const int i : nodes) r_.take(i);
    if (nodes.size() < 2 && !sampled) return;
    std::vector<Term> terms;
    if (weights >= 0) terms = weighted_terms(r_.node(weights));
    for (const int i : nodes)
      if (reduces(i)) add_sums(g, i, terms);
    insert(g, table, weights, nodes, terms);
  }

  static std::vector<Term> weighted_terms(const Node& n) {
    std::vector<Term> out;
    auto at = n.inputs.begin() + 2;
    for (const MixAttrs::Term& t : n.attr<MixAttrs>().terms) {
      const auto end = at + t.inputs();
      out.push_back({{t, true}, {at, end}});
      at = end;
    }
    return out;
  }

  /// To the term of the same norm, or as a term of its own.
  void add_sums(Value g, int reduce, std::vector<Term>& terms) const {
    const Node& n = r_.node(reduce);
    const auto& a = n.attr<BatchNormAttrs>();
    const bool sampled = n.inputs[0] != g;
    const auto same = [&](const Term& t) {
      return !sampled && t.attrs.load.norm && t.reduce < 0 && (!a.scaled || t.attrs.index == a.scale_index) &&
             std::equal(t.operands.begin(), t.operands.begin() + 3, n.inputs.begin() + 1);
    };
    auto it = std::find_if(terms.begin(), terms.end(), same);
    if (it == terms.end()) {
      Term t;
      t.attrs.index = a.scaled ? a.scale_index : 0;
      t.attrs.load.norm = true;
      t.operands.assign(n.inputs.begin() + 1, n.inputs.begin() + 4);
      it = terms.insert(it, std::move(t));
    }
    it->attrs.sums = true;
    it->attrs.scaled = a.scaled;
    it->attrs.sampled = sampled;
    if (sampled) it->mask = n.inputs[0].node;
    it->reduce = reduce;
  }

  void insert(Value g, Value table, int weights, const std::vector<int>& nodes, const std::vector<Term>& terms) {
    int place = *std::min_element(nodes.begin(), nodes.end());
    const auto wait_for = [&](const std::vector<Value>& values) {
      for (const Value v : values)
        if (r_.node(v.node).op) place = std::max(place, v.node);
    };
    if (table) wait_for({table});
    for (const Term& t : terms) {
      wait_for(t.operands);
      if (t.mask >= 0) wait_for(r_.node(t.mask).inputs);
    }
    for (const int i : nodes)  // what is computed late cannot serve an early reader
      for (size_t k = 0; k < r_.node(i).outputs.size(); ++k)
        for (const Use& use : r_.uses({i, static_cast<int>(k)}))
          if (use.node <= place) return;
    MixReduceAttrs attrs;
    attrs.table = bool(table);
    attrs.dtable = weights >= 0;
    std::vector<Value> inputs = {g};
    if (table) inputs.push_back(table);
    std::map<int, Value> factors;  // of each mask_scale
    for (const Term& t : terms) {
      attrs.terms.push_back(t.attrs);
      inputs.insert(inputs.end(), t.operands.begin(), t.operands.end());
      if (t.mask < 0) continue;
      if (!factors.contains(t.mask)) factors[t.mask] = sample_factors(r_, {t.mask, 0});
      inputs.push_back(factors[t.mask]);
    }
    const int now = r_.insert(kMixReduce, std::move(inputs), attrs, place);
    r_.set_condition(now, r_.node(nodes[0]).when);
    int out = 0;
    if (attrs.dtable) r_.replace({weights, 0}, {now, out++});
    for (const Term& t : terms)
      for (int i = 0; t.reduce >= 0 && i < 2; ++i) r_.replace({t.reduce, i}, {now, out++});
  }

  /// Whether v, a term to come, may be the first input of its producer instead.
  bool moves_back(Value v) const {
    return r_.only_use(v) && same_condition(r_.graph(), v.node, r_.node(v.node).inputs[0].node);
  }
  bool absorbable_norm(Value v) const { return r_.node(v.node).op == &kBnApply && moves_back(v); }
  /// v as a term, its norm on load where nobody else reads the normalised tensor.
  void add_term(Value v, MixAttrs& attrs, std::vector<Value>& inputs) const {
    const Node& from = r_.node(v.node);
    const bool norm = absorbable_norm(v);
    attrs.terms.push_back({0, {.norm = norm, .affine = norm && from.attr<BatchNormAttrs>().affine}});
    if (norm) inputs.insert(inputs.end(), from.inputs.begin(), from.inputs.end());
    else inputs.push_back(v);
  }

  /// A sum reads its operands' norms and drop paths on load. Operands that nobody else reads and that can add to a
  /// sum in place stay its operands.
  void normalise_on_load(int sum) {
    const Node& n = r_.node(sum);
    MixAttrs attrs{.terms = {}, .plain = true};
    std::vector<Value> inputs, rest;
    bool norms = false;
    for (const Value v : n.inputs) {
      const Node& from = r_.node(v.node);
      if (r_.graph().shape(v) != n.outputs[0].shape) return;
      if (const bool dropped = drops_samples(r_.graph(), v) && moves_back(v); dropped || absorbable_norm(v)) {
        const Value inner = dropped ? from.inputs[0] : v;
        add_term(inner, attrs, inputs);
        if (dropped) {
          attrs.terms.back().sampled = true;
          inputs.push_back(sample_factors(r_, v));
        }
        norms = true;
      } else if (n.op == &kSum && r_.graph().accumulates(v) && r_.only_use(v)) {
        rest.push_back(v);
      } else {
        add_term(v, attrs, inputs);
      }
    }
    // Without norms the gain is that none of several operands is copied into the sum first.
    if (!norms && (n.op != &kSum || attrs.terms.size() < 2)) return;
    Value now{r_.insert(kMix, std::move(inputs), std::move(attrs), sum), 0};
    if (!rest.empty()) {
      rest.push_back(now);
      now = {r_.insert(kSum, rest, nullptr, sum), 0};
    }
    r_.replace({sum, 0}, now);
  }

  Rewriter r_;
};

}  // namespace

void fuse_mix(Graph& graph, std::vector<Value>& outputs) { Fuser(graph, outputs).run(); }

}  // namespace mixop::autograd
