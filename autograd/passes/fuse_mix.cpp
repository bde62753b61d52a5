// Every reduction of one arriving gradient G, the bn_reduce of each candidate and the mix_weight_grad of the
// mixture, becomes one mix_reduce: G is read once, and the gradient of the table follows from the sums of the
// norms.
#include <algorithm>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/mix.h"
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
      if ((reduces(i) || weighs(i)) && r_.free(i)) join(r_.node(i).inputs[0]);
      if (r_.node(i).op == &kSum || r_.node(i).op == &kAdd) normalise_on_load(i);
    }
    r_.finish();
  }

 private:
  struct Term {
    MixReduceAttrs::Term attrs;
    std::vector<Value> operands;  ///< z [, mean, rstd [, gamma, beta]]
    int reduce = -1;              ///< the bn_reduce whose sums it gives
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

  void join(Value g) {
    std::vector<int> nodes;
    Value table;
    int weights = -1;
    for (const Use& use : r_.uses(g)) {
      if (use.input != 0 || !r_.free(use.node) || !(reduces(use.node) || weighs(use.node))) continue;
      const Value its = table_of(use.node);
      if (its && table && its != table) continue;
      if (weighs(use.node) && weights >= 0) continue;
      if (weighs(use.node)) weights = use.node;
      if (its) table = its;
      nodes.push_back(use.node);
    }
    for (const int i : nodes) r_.take(i);
    if (nodes.size() < 2) return;
    std::vector<Term> terms;
    if (weights >= 0) terms = weighted_terms(r_.node(weights));
    for (const int i : nodes)
      if (reduces(i)) add_sums(i, terms);
    insert(g, table, weights, nodes, terms);
  }

  static std::vector<Term> weighted_terms(const Node& n) {
    std::vector<Term> out;
    auto at = n.inputs.begin() + 2;
    for (const MixAttrs::Term& t : n.attr<MixAttrs>().terms) {
      const auto end = at + 1 + t.load.inputs();
      out.push_back({{t, true}, {at, end}});
      at = end;
    }
    return out;
  }

  /// To the term of the same norm, or as a term of its own.
  void add_sums(int reduce, std::vector<Term>& terms) const {
    const Node& n = r_.node(reduce);
    const auto& a = n.attr<BatchNormAttrs>();
    const auto same = [&](const Term& t) {
      return t.attrs.load.norm && t.reduce < 0 && (!a.scaled || t.attrs.index == a.scale_index) &&
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
    it->reduce = reduce;
  }

  void insert(Value g, Value table, int weights, const std::vector<int>& nodes, const std::vector<Term>& terms) {
    MixReduceAttrs attrs;
    attrs.table = bool(table);
    attrs.dtable = weights >= 0;
    std::vector<Value> inputs = {g};
    if (table) inputs.push_back(table);
    for (const Term& t : terms) {
      attrs.terms.push_back(t.attrs);
      inputs.insert(inputs.end(), t.operands.begin(), t.operands.end());
    }
    int place = *std::min_element(nodes.begin(), nodes.end());
    for (const Value v : inputs)
      if (r_.node(v.node).op) place = std::max(place, v.node);
    for (const int i : nodes)  // what is computed late cannot serve an early reader
      for (size_t k = 0; k < r_.node(i).outputs.size(); ++k)
        for (const Use& use : r_.uses({i, static_cast<int>(k)}))
          if (use.node <= place) return;
    const int now = r_.insert(kMixReduce, std::move(inputs), attrs, place);
    int out = 0;
    if (attrs.dtable) r_.replace({weights, 0}, {now, out++});
    for (const Term& t : terms)
      for (int i = 0; t.reduce >= 0 && i < 2; ++i) r_.replace({t.reduce, i}, {now, out++});
  }

  /// Operands that nobody else reads and that can add to a sum in place stay its operands.
  void normalise_on_load(int sum) {
    const Node& n = r_.node(sum);
    MixAttrs attrs{.terms = {}, .plain = true};
    std::vector<Value> inputs, rest;
    bool norms = false;
    for (const Value v : n.inputs) {
      const Node& from = r_.node(v.node);
      if (r_.graph().shape(v) != n.outputs[0].shape) return;
      if (from.op == &kBnApply && r_.only_use(v)) {
        attrs.terms.push_back({0, {.norm = true, .affine = from.attr<BatchNormAttrs>().affine}});
        inputs.insert(inputs.end(), from.inputs.begin(), from.inputs.end());
        norms = true;
      } else if (n.op == &kSum && from.op && from.op->accumulates && v.output == 0 && r_.only_use(v)) {
        rest.push_back(v);
      } else {
        attrs.terms.push_back({0, {}});
        inputs.push_back(v);
      }
    }
    if (!norms) return;
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
