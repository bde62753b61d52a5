// Reductions of several arriving gradients that can run at the same time become one bn_reduce, which saves
// launches: those for the norms of a cell's two inputs.
#include "autograd/ops/batch_norm.h"
#include "autograd/passes/intervals.h"
#include "autograd/passes/passes.h"

namespace mixop::autograd {

using kernels::BatchNormAttrs;

void group_reductions(Graph& graph, std::vector<Value>& outputs) {
  Rewriter r(graph, outputs);
  std::vector<Interval> intervals;
  for (int i = 0; i < graph.size(); ++i) {
    if (graph.node(i).op != &kBnReduce) continue;
    const auto& a = graph.node(i).attr<BatchNormAttrs>();
    if (!a.scaled && a.count == 1) intervals.push_back(interval_of(r, i));
  }
  for (const Meeting& m : meetings(intervals, Order::kEarliestEnd, intervals.size())) {
    if (m.members.size() < 2) continue;
    BatchNormAttrs attrs;
    attrs.count = static_cast<int>(m.members.size());
    std::vector<Value> inputs;
    for (const size_t i : m.members) {
      const Node& n = graph.node(intervals[i].node);
      inputs.insert(inputs.end(), n.inputs.begin(), n.inputs.end());
    }
    const int now = r.insert(kBnReduce, inputs, attrs, m.begin, intervals[m.members[0]].node);
    for (size_t k = 0; k < m.members.size(); ++k)
      for (int out = 0; out < 2; ++out)
        r.replace({intervals[m.members[k]].node, out}, {now, static_cast<int>(2 * k) + out});
  }
  r.finish();
  graph = prune(graph, outputs);
}

}  // namespace mixop::autograd
