// Edits of a graph in which several nodes become one: new nodes take a place in the order, old values are replaced.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "autograd/graph.h"

namespace mixop::autograd {

struct Use {
  int node, input;
};

class Rewriter {
 public:
  /// Looks at `graph` and at what is asked of it; both are changed by finish() only.
  Rewriter(Graph& graph, std::vector<Value>& outputs);

  const Graph& graph() const { return graph_; }
  const Node& node(int i) const { return graph_.node(i); }
  /// Readers of a value, in order, as they were at the start.
  const std::vector<Use>& uses(Value v) const { return uses_[v.node][v.output]; }
  /// The one reader of a value that nobody asks for and one node reads once; else null.
  const Use* only_use(Value v) const;
  bool requested(Value v) const;
  /// A node that no earlier rule of this pass has taken.
  bool free(int node) const { return !taken_[node]; }
  void take(int node) { taken_[node] = true; }

  /// Adds a node directly behind `place`, a node of the original graph (-1: before all of them); its inputs must be
  /// computed by then. It takes the name and the condition of `like`, or of `place`. Returns its number for
  /// replace(), that of an equal node (op, inputs, attributes as far as they can be compared, place) when there is
  /// one.
  int insert(const OpDef& op, std::vector<Value> inputs, std::shared_ptr<const void> attrs, int place,
             int like = -1);
  template <class A>
  int insert(const OpDef& op, std::vector<Value> inputs, A attrs, int place, int like = -1) {
    return insert(op, std::move(inputs), std::shared_ptr<const void>(std::make_shared<const A>(std::move(attrs))),
                  place, like);
  }
  /// The condition of an inserted node, in place of the one that it has taken.
  void set_condition(int inserted, const Condition& when) {
    inserted_[static_cast<size_t>(inserted - graph_.size())].node.when = when;
  }
  /// Readers of `old` read `now`, a value of an inserted or an original node, from now on.
  void replace(Value old, Value now);
  /// Carries everything out. Replaced nodes stay until prune() finds that nobody reads them.
  void finish();

 private:
  Graph& graph_;
  std::vector<Value>& outputs_;
  std::vector<std::vector<std::vector<Use>>> uses_;
  std::vector<bool> taken_;
  struct Inserted {
    Node node;
    int place;
  };
  std::vector<Inserted> inserted_;  // number: graph size + index
  std::vector<std::pair<Value, Value>> replaced_;
};

}  // namespace mixop::autograd
