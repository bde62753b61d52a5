#include "autograd/passes/rewrite.h"

#include <algorithm>
#include <map>

#include "autograd/ops/copy.h"

namespace mixop::autograd {
namespace {

/// The very same, or known to be equal.
bool same_attrs(const OpDef& op, const std::shared_ptr<const void>& a, const std::shared_ptr<const void>& b) {
  if (a == b || &op != &kFill) return a == b;
  const auto &x = *static_cast<const kernels::FillAttrs*>(a.get()),
             &y = *static_cast<const kernels::FillAttrs*>(b.get());
  return x.shape == y.shape && x.value == y.value;
}

}  // namespace

Rewriter::Rewriter(Graph& graph, std::vector<Value>& outputs)
    : graph_(graph), outputs_(outputs), uses_(graph.size()), taken_(graph.size()) {
  for (int i = 0; i < graph.size(); ++i) uses_[i].resize(graph.node(i).outputs.size());
  for (int i = 0; i < graph.size(); ++i)
    for (size_t k = 0; k < graph.node(i).inputs.size(); ++k) {
      const Value v = graph.node(i).inputs[k];
      uses_[v.node][v.output].push_back({i, static_cast<int>(k)});
    }
}

bool Rewriter::requested(Value v) const { return std::find(outputs_.begin(), outputs_.end(), v) != outputs_.end(); }

const Use* Rewriter::only_use(Value v) const {
  return uses(v).size() == 1 && !requested(v) ? &uses(v)[0] : nullptr;
}

int Rewriter::insert(const OpDef& op, std::vector<Value> inputs, std::shared_ptr<const void> attrs, int place,
                     int like) {
  const Node& from = graph_.node(like < 0 ? place : like);
  for (size_t i = 0; i < inserted_.size(); ++i) {
    const auto& [n, at] = inserted_[i];
    if (n.op == &op && at == place && n.when == from.when && same_attrs(op, n.attrs, attrs) && n.inputs == inputs)
      return graph_.size() + static_cast<int>(i);
  }
  Node node;
  node.op = &op;
  node.inputs = std::move(inputs);
  node.attrs = std::move(attrs);
  node.name = from.name;
  node.backward = from.backward;
  node.when = from.when;
  inserted_.push_back({std::move(node), place});
  return graph_.size() + static_cast<int>(inserted_.size()) - 1;
}

void Rewriter::replace(Value old, Value now) { replaced_.emplace_back(old, now); }

void Rewriter::finish() {
  if (inserted_.empty() && replaced_.empty()) return;
  const std::map<Value, Value> replaced(replaced_.begin(), replaced_.end());
  const auto current = [&](Value v) {
    for (auto it = replaced.find(v); it != replaced.end(); it = replaced.find(v)) v = it->second;
    return v;
  };
  // Sources first, for they depend on nothing and inserted nodes may stand before them.
  std::vector<std::pair<const Node*, int>> order;
  std::vector<std::vector<int>> behind(static_cast<size_t>(graph_.size()) + 1);  // [place + 1]
  for (size_t i = 0; i < inserted_.size(); ++i) behind[inserted_[i].place + 1].push_back(static_cast<int>(i));
  for (int i = 0; i < graph_.size(); ++i)
    if (!graph_.node(i).op) order.emplace_back(&graph_.node(i), i);
  for (int i = -1; i < graph_.size(); ++i) {
    if (i >= 0 && graph_.node(i).op) order.emplace_back(&graph_.node(i), i);
    for (const int k : behind[i + 1]) order.emplace_back(&inserted_[k].node, graph_.size() + k);
  }
  std::vector<int> number(order.size(), -1);
  // A replaced node that still stands may read what comes later now: it is dead, and left out.
  Graph result(graph_.real());
  for (const auto& [from, old] : order) {
    Node n = *from;
    bool dead = false;
    for (Value& v : n.inputs) {
      v = current(v);
      dead |= number[v.node] < 0;
      if (!dead) v.node = number[v.node];
    }
    MIXOP_CHECK(!dead || !n.op->effect, "a fusion lost ", n.op->name, " at ", n.name);
    if (dead) continue;
    if (old >= graph_.size()) n.outputs = n.op->shape(result, n);
    number[old] = result.append(std::move(n));
  }
  for (Value& v : outputs_) {
    v = current(v);
    MIXOP_CHECK(number[v.node] >= 0, "a fusion lost an output of the graph");
    v.node = number[v.node];
  }
  graph_ = std::move(result);
}

}  // namespace mixop::autograd
