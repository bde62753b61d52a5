// The gradients of all candidates of a state that have no weights, its poolings with their norms and its skip
// connections, become one group of one `pool_stats_grad`; so does what would have to be copied into their sum.
// Poolings of one state become one `pool_stats`; with `apart` those of different states too, and groups of
// different states one node.
#include <algorithm>
#include <map>

#include "autograd/ops/binary.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "autograd/passes/conditions.h"
#include "autograd/passes/intervals.h"
#include "autograd/passes/passes.h"

namespace mixop::autograd {
namespace {

using kernels::PoolGradGroup;
using kernels::PoolGradPart;
using kernels::PoolGradPool;
using kernels::PoolStatsAttrs;
using kernels::PoolStatsGradAttrs;
using kernels::ScaleAttrs;

/// A group in the making, with its operands.
class State {
 public:
  State(const Graph& g, Value table) : g_(g), table_(table) {}

  /// Adds the one group of a pool_stats_grad; false: it is of another state or of another table.
  bool add_pools(Value v) {
    const Node& n = g_.node(v);
    const auto& a = n.attr<PoolStatsGradAttrs>();
    const PoolGradGroup& more = a.groups[0];
    const auto first = n.inputs.begin() + (a.table ? 1 : 0);
    const auto gradients = first + static_cast<int64_t>(more.first_gradient());
    if (a.groups.size() != 1 || (a.table && n.inputs[0] != table_)) return false;
    if (more.reads_x && group_.reads_x && !std::equal(first, gradients, x_.begin(), x_.end())) return false;
    if (more.reads_x) {
      x_.assign(first, gradients);
      group_.reads_x = true;
      group_.load = more.load;
    }
    group_.x = more.x;
    auto at = gradients + more.gradients;
    for (PoolGradPool pool : more.pools) {
      for (PoolGradPart& part : pool.parts) part.gradient = number_of(gradients[part.gradient]);
      const auto end = at + static_cast<int64_t>(pool.inputs());
      pools_.insert(pools_.end(), at, end);
      group_.pools.push_back(std::move(pool));
      at = end;
    }
    for (const PoolGradPart& part : more.skips)
      group_.skips.push_back({number_of(gradients[part.gradient]), part.index});
    members_.push_back(v);
    return true;
  }

  /// Adds the gradient of a skip connection, as it is or before its `scale`.
  void add_skip(Value v) {
    const Node& n = g_.node(v);
    if (n.op == &kScale && n.inputs[0] == table_)
      group_.skips.push_back({number_of(n.inputs[1]), n.attr<ScaleAttrs>().index});
    else group_.skips.push_back({number_of(v), -1});
    members_.push_back(v);
  }

  const std::vector<Value>& members() const { return members_; }
  PoolStatsGradAttrs attrs() const {
    PoolGradGroup group = group_;
    group.gradients = static_cast<int>(gradients_.size());
    return {bool(table_), {group}};
  }
  std::vector<Value> inputs() const {
    std::vector<Value> in;
    if (table_) in.push_back(table_);
    for (const auto* part : {&x_, &gradients_, &pools_}) in.insert(in.end(), part->begin(), part->end());
    return in;
  }

 private:
  int number_of(Value gradient) {
    const auto it = std::find(gradients_.begin(), gradients_.end(), gradient);
    if (it == gradients_.end()) gradients_.push_back(gradient);
    return static_cast<int>(std::find(gradients_.begin(), gradients_.end(), gradient) - gradients_.begin());
  }

  const Graph& g_;
  Value table_;
  PoolGradGroup group_;
  std::vector<Value> x_, gradients_, pools_, members_;  // x_: with the constants of its norm
};

/// What adds to one sum of gradients belongs to one state.
void join_candidates(Rewriter& r, int sum) {
  const auto& parts = r.node(sum).inputs;
  const auto alike = [&](Value v) { return same_condition(r.graph(), v.node, sum); };
  const auto is = [&](Value v, const OpDef& op) { return r.node(v.node).op == &op && r.only_use(v) && alike(v); };
  Value table;
  for (const Value v : parts)
    if (is(v, kPoolStatsGrad) && !table && r.node(v.node).attr<PoolStatsGradAttrs>().table)
      table = r.node(v.node).inputs[0];
  State state(r.graph(), table);
  std::vector<Value> rest, sum_of;
  for (const Value v : parts)
    if (!is(v, kPoolStatsGrad) || !state.add_pools(v)) rest.push_back(v);
  if (state.members().empty()) return;
  for (const Value v : rest)
    if (alike(v) &&
        (!r.graph().accumulates(v) || !r.only_use(v) || (is(v, kScale) && r.node(v.node).inputs[0] == table)))
      state.add_skip(v);
    else sum_of.push_back(v);
  if (state.members().size() < 2) return;
  const int place = std::max_element(state.members().begin(), state.members().end())->node;
  sum_of.push_back({r.insert(kPoolStatsGrad, state.inputs(), state.attrs(), place, state.members()[0].node), 0});
  r.replace({sum, 0}, sum_of.size() == 1 ? sum_of[0] : Value{r.insert(kSum, sum_of, nullptr, sum), 0});
}

size_t first_operand(const PoolStatsAttrs&) { return 0; }
size_t first_operand(const PoolStatsGradAttrs& a) { return a.table ? 1 : 0; }

/// Nodes of one kind that can run at the same time become one, whose attributes list the units or groups of all.
template <class Attrs, class Part, class Kind>
void group(Graph& graph, std::vector<Value>& outputs, const OpDef& op, std::vector<Part> Attrs::*parts, Kind kind) {
  Rewriter r(graph, outputs);
  std::map<std::vector<Value>, std::vector<Interval>> kinds;
  for (int i = 0; i < graph.size(); ++i)
    if (graph.node(i).op == &op) {
      std::vector<Value> key = kind(graph.node(i));
      key.push_back({graph.node(i).when.choice, graph.node(i).when.value});
      kinds[key].push_back(interval_of(r, i));
    }
  for (const auto& [key, intervals] : kinds)
    for (Meeting& m : meetings(intervals, Order::kEarliestEnd, intervals.size())) {
      if (m.members.size() < 2) continue;
      std::sort(m.members.begin(), m.members.end());  // as they were: what reads the same stays together
      const int first = intervals[m.members[0]].node;
      Attrs all = r.node(first).template attr<Attrs>();
      std::vector<Value> inputs = r.node(first).inputs;
      for (size_t i = 1; i < m.members.size(); ++i) {
        const Node& n = r.node(intervals[m.members[i]].node);
        const auto& more = n.template attr<Attrs>();
        (all.*parts).insert((all.*parts).end(), (more.*parts).begin(), (more.*parts).end());
        inputs.insert(inputs.end(), n.inputs.begin() + static_cast<int64_t>(first_operand(more)), n.inputs.end());
      }
      const int now = r.insert(op, inputs, all, m.begin, first);
      int out = 0;
      for (const size_t i : m.members)
        for (int k = 0; k < static_cast<int>(r.node(intervals[i].node).outputs.size()); ++k)
          r.replace({intervals[i].node, k}, {now, out++});
    }
  r.finish();
  graph = prune(graph, outputs);
}

}  // namespace

void group_pools(Graph& graph, std::vector<Value>& outputs, bool apart) {
  Rewriter r(graph, outputs);
  for (int i = 0; i < graph.size(); ++i)
    if (graph.node(i).op == &kSum) join_candidates(r, i);
  r.finish();
  graph = prune(graph, outputs);
  group(graph, outputs, kPoolStats, &PoolStatsAttrs::units, [&](const Node& n) {
    const auto& unit = n.attr<PoolStatsAttrs>().units[0];
    const auto end = n.inputs.begin() + (apart ? 0 : 1 + unit.load.inputs());
    return std::vector<Value>(n.inputs.begin(), end);
  });
  if (!apart) return;
  group(graph, outputs, kPoolStatsGrad, &PoolStatsGradAttrs::groups, [](const Node& n) {
    const auto end = n.inputs.begin() + static_cast<int64_t>(first_operand(n.attr<PoolStatsGradAttrs>()));
    return std::vector<Value>(n.inputs.begin(), end);
  });
}

}  // namespace mixop::autograd
