#include <algorithm>

#include "autograd/ops/mix.h"
#include "autograd/passes/passes.h"

namespace mixop::autograd {

namespace {

/// What lies in a store may be written meanwhile: only what is computed is read earlier.
bool moves(const Graph& g, const Node& n) {
  return n.op && (n.op->alias != OpDef::Alias::kNone || (n.op == &kMix && n.backward)) &&
         std::all_of(n.inputs.begin(), n.inputs.end(), [&](Value v) { return g.node(v).op; });
}

}  // namespace

void hoist_sums(Graph& graph, std::vector<Value>& outputs) {
  std::vector<std::pair<int, int>> order;  // place in the old order, old number
  for (int i = 0; i < graph.size(); ++i) {
    const Node& n = graph.node(i);
    int place = moves(graph, n) ? 0 : i;
    for (const Value v : n.inputs) place = std::max(place, order[v.node].first);
    order.emplace_back(place, i);
  }
  std::sort(order.begin(), order.end());
  std::vector<int> number(graph.size());
  Graph result(graph.real());
  for (const auto& [place, old] : order) {
    Node n = graph.node(old);
    for (Value& v : n.inputs) v.node = number[v.node];
    number[old] = result.append(std::move(n));
  }
  for (Value& v : outputs) v.node = number[v.node];
  graph = std::move(result);
}

}  // namespace mixop::autograd
