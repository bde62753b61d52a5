#include <algorithm>

#include "autograd/passes/passes.h"

namespace mixop::autograd {
namespace {

/// An effect node is kept when it reads something computed and all of that is computed anyway.
bool effect_is_due(const Graph& g, const Node& n, const std::vector<bool>& needed) {
  bool computed = false;
  for (const Value v : n.inputs) {
    if (!g.node(v).op) continue;
    if (!needed[v.node]) return false;
    computed = true;
  }
  return computed;
}

}  // namespace

Graph prune(const Graph& graph, std::vector<Value>& outputs) {
  std::vector<bool> needed(graph.size());
  for (const Value v : outputs) needed[v.node] = true;
  for (int i = graph.size() - 1; i >= 0; --i)
    if (needed[i])
      for (const Value v : graph.node(i).inputs) needed[v.node] = true;
  for (int i = 0; i < graph.size(); ++i) {
    const Node& n = graph.node(i);
    if (!n.op || !n.op->effect || needed[i] || !effect_is_due(graph, n, needed)) continue;
    needed[i] = true;
    for (const Value v : n.inputs) needed[v.node] = true;
  }
  Graph result(graph.real());
  std::vector<int> renumbered(graph.size(), -1);
  for (int i = 0; i < graph.size(); ++i) {
    if (!needed[i]) continue;
    Node n = graph.node(i);
    for (Value& v : n.inputs) v.node = renumbered[v.node];
    renumbered[i] = result.append(std::move(n));
  }
  for (Value& v : outputs) v.node = renumbered[v.node];
  return result;
}

}  // namespace mixop::autograd
