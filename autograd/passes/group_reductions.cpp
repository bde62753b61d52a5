// Small calls that can run at the same time become one, which saves launches: the reductions of several arriving
// gradients, those for the norms of a cell's two inputs, and in evaluation the reciprocal deviations of all norms.
#include <map>

#include "autograd/ops/batch_norm.h"
#include "autograd/passes/intervals.h"
#include "autograd/passes/passes.h"

namespace mixop::autograd {
namespace {
using kernels::BatchNormAttrs;

/// Nodes of `op` with these intervals and attributes alike but for their count.
void group(Rewriter& r, const OpDef& op, const std::vector<Interval>& intervals, BatchNormAttrs attrs) {
  for (const Meeting& m : meetings(intervals, Order::kEarliestEnd, intervals.size())) {
    if (m.members.size() < 2) continue;
    attrs.count = static_cast<int>(m.members.size());
    std::vector<Value> inputs;
    for (const size_t i : m.members) {
      const Node& n = r.node(intervals[i].node);
      inputs.insert(inputs.end(), n.inputs.begin(), n.inputs.end());
    }
    const int now = r.insert(op, inputs, attrs, m.begin, intervals[m.members[0]].node);
    int to = 0;
    for (const size_t i : m.members)
      for (int k = 0; k < static_cast<int>(r.node(intervals[i].node).outputs.size()); ++k)
        r.replace({intervals[i].node, k}, {now, to++});
  }
}

/// Nobody else reads the variances, and hence nobody moves them: the node may come as early as they are there.
bool reads_alone(const Rewriter& r, const Node& n) {
  for (const Use& use : r.uses(n.inputs[0]))
    if (r.node(use.node).op != &kBnRstd) return false;
  return true;
}

}  // namespace

void group_reductions(Graph& graph, std::vector<Value>& outputs) {
  Rewriter r(graph, outputs);
  std::vector<Interval> reductions;
  std::map<double, std::vector<Interval>> deviations;  // by eps
  for (int i = 0; i < graph.size(); ++i) {
    const Node& n = graph.node(i);
    if ((n.op != &kBnReduce && n.op != &kBnRstd) || n.when) continue;
    const auto& a = n.attr<BatchNormAttrs>();
    if (a.count != 1) continue;
    if (n.op == &kBnReduce && !a.scaled) reductions.push_back(interval_of(r, i));
    if (n.op == &kBnRstd && reads_alone(r, n)) deviations[a.eps].push_back(interval_of(r, i));
  }
  group(r, kBnReduce, reductions, {});
  for (const auto& [eps, norms] : deviations) group(r, kBnRstd, norms, {.eps = eps});
  r.finish();
  graph = prune(graph, outputs);
}

}  // namespace mixop::autograd
