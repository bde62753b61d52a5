// One arena for all intermediate values. Concatenations, slices, packs and sums of gradients are aliases: producers
// write straight into their place, the first with kSet and later ones with kAdd.
#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "autograd/ops/concat.h"
#include "autograd/passes/conditions.h"
#include "autograd/passes/passes.h"

namespace mixop::autograd {
namespace {

using Alias = OpDef::Alias;
using kernels::Write;

Alias alias_of(const Graph& g, int node) { return g.node(node).op ? g.node(node).op->alias : Alias::kNone; }

class Planner {
 public:
  Planner(const Graph& g, const std::vector<Value>& outputs, bool pinned) : g_(g), pinned_(pinned) {
    parent_.resize(g.size());
    uses_.resize(g.size());
    requested_.resize(g.size());
    for (int i = 0; i < g.size(); ++i) {
      parent_[i].resize(g.node(i).outputs.size());
      uses_[i].resize(g.node(i).outputs.size());
    }
    for (int i = 0; i < g.size(); ++i)
      for (const Value v : g.node(i).inputs) ++uses_[v.node][v.output];
    for (const Value v : outputs)
      if (!g.node(v).outputs.empty()) requested_[v.node] = true;
    outputs_ = outputs;
  }

  Layout run() {
    link();
    place();
    schedule();
    assign();
    return std::move(layout_);
  }

 private:
  /// Link of a value to the value that contains it.
  struct Link {
    Value to;
    int64_t offset = 0;
    bool keep_rows = true;  ///< the rows of the container apply (channel slices); else packed
  };

  bool may_move(Value v) const {
    const Node& n = g_.node(v);
    if (!n.op || n.op->effect || parent_[v.node][v.output].to) return false;
    return n.op->alias == Alias::kNone || n.op->alias == Alias::kConcat || n.op->alias == Alias::kSum;
  }

  void link() {
    // Later containers first, so that a sum inside a concatenation knows its own place.
    for (int i = g_.size() - 1; i >= 0; --i) {
      const Node& n = g_.node(i);
      const Alias alias = alias_of(g_, i);
      if (alias == Alias::kSlice) parent_[i][0] = {n.inputs[0], n.attr<kernels::SliceAttrs>().begin, true};
      if (alias == Alias::kReshape) parent_[i][0] = {n.inputs[0], 0, false};
      if (alias != Alias::kConcat && alias != Alias::kPack && alias != Alias::kSum) continue;
      int64_t offset = 0;
      for (const Value v : n.inputs) {
        const Shape& shape = g_.shape(v);
        const bool alone = uses_[v.node][v.output] == 1 && !requested_[v.node];
        // Results of one call are written in no particular order: only one of them can go into a sum.
        const auto same_node = [&](Value other) { return other.node == v.node; };
        const bool fits = alias == Alias::kSum ? g_.accumulates(v) && alone &&
                                                     *std::find_if(n.inputs.begin(), n.inputs.end(), same_node) == v
                                               : std::count(n.inputs.begin(), n.inputs.end(), v) == 1;
        // Into what has conditions only what has the same: else it would be written at other times too.
        const bool at_its_times = !n.when || same_condition(g_, i, v.node);
        if (fits && at_its_times && may_move(v))
          parent_[v.node][v.output] = {{i, 0}, offset, alias != Alias::kPack};
        if (alias == Alias::kConcat) offset += shape.last();
        if (alias == Alias::kPack) offset += shape.elements();
      }
    }
  }

  Place resolve(Value v) const {
    const Link& up = parent_[v.node][v.output];
    if (!up.to) return {v, 0, g_.shape(v).last()};
    Place p = resolve(up.to);
    p.offset += up.offset;
    if (!up.keep_rows) p.ld = g_.shape(v).last();
    return p;
  }

  void place() {
    for (int i = 0; i < g_.size(); ++i)  // a reshape of a channel slice needs a copy after all
      if (alias_of(g_, i) == Alias::kReshape) {
        const Value x = g_.node(i).inputs[0];
        if (resolve(x).ld != g_.shape(x).last()) parent_[i][0] = {};
      }
    layout_.places.resize(g_.size());
    for (int i = 0; i < g_.size(); ++i)
      for (size_t k = 0; k < parent_[i].size(); ++k) layout_.places[i].push_back(resolve({i, static_cast<int>(k)}));
  }

  const Place& at(Value v) const { return layout_.places[v.node][v.output]; }

  void schedule() {
    absent_ = read_when_absent(g_, outputs_);
    writers_.resize(g_.size());
    sum_.assign(g_.size(), kUndecided);
    for (int i = 0; i < g_.size(); ++i) {
      const Node& n = g_.node(i);
      if (!n.op) continue;
      const Alias alias = n.op->alias;
      if (alias == Alias::kNone) schedule_node(i);
      else if (alias != Alias::kSlice && !(alias == Alias::kReshape && parent_[i][0].to)) schedule_copies(i);
      if (alias == Alias::kSum && absent_[i][0]) add_zeros(i, {i, 0}, at({i, 0}), writers_[i]);
    }
  }

  void schedule_node(int i) {
    const Node& n = g_.node(i);
    PlannedStep step{.node = i};
    if (n.when) step.when = {n.when};
    for (const Place& place : layout_.places[i]) clear_pack(place);
    for (size_t k = 0; k < n.outputs.size(); ++k) {
      const Value up = parent_[i][k].to;
      write_to(up && alias_of(g_, up.node) == Alias::kSum ? up.node : -1, step);
    }
    const int number = add_step(std::move(step));
    for (size_t k = 0; k < n.outputs.size(); ++k)
      if (absent_[i][k]) add_zeros(i, {i, static_cast<int>(k)}, at({i, static_cast<int>(k)}), {number});
  }

  /// What does not lie in its place in alias node i already.
  void schedule_copies(int i) {
    const Node& n = g_.node(i);
    const Alias alias = n.op->alias;
    int64_t offset = 0;
    for (const Value v : n.inputs) {
      const Shape& shape = g_.shape(v);
      if (parent_[v.node][v.output].to != Value{i, 0}) {
        PlannedStep step{.node = i, .copy_from = v, .to = at({i, 0})};
        step.to.offset += offset;
        if (alias != Alias::kConcat && alias != Alias::kSum) step.to.ld = shape.last();
        for (const Condition& c : {n.when, g_.node(v).when})
          if (c && !std::count(step.when.begin(), step.when.end(), c)) step.when.push_back(c);
        clear_pack(step.to);
        write_to(alias == Alias::kSum ? i : -1, step);
        const bool zeros = alias != Alias::kSum && !step.when.empty() &&
                           (absent_[i][0] || (g_.node(v).when && g_.node(v).when != n.when));
        const Place to = step.to;
        const int number = add_step(std::move(step));
        if (zeros) add_zeros(i, v, to, {number});
      }
      if (alias == Alias::kConcat) offset += shape.last();
      if (alias == Alias::kPack) offset += shape.elements();
    }
  }

  int add_step(PlannedStep step) {
    const int number = static_cast<int>(layout_.steps.size());
    for (const int sum : writes_into_) writers_[sum].push_back(number);
    writes_into_.clear();
    layout_.steps.push_back(std::move(step));
    return number;
  }

  /// A pack with parts that may be absent is zero before the first of them is written: one step for all.
  void clear_pack(const Place& place) {
    const int i = place.root.node;
    if (alias_of(g_, i) != Alias::kPack || cleared_.contains(i)) return;
    const auto& parts = g_.node(i).inputs;
    const bool whole = std::all_of(parts.begin(), parts.end(), [&](Value v) { return !may_be_absent(v); });
    if (!whole || g_.node(i).when)
      add_step({.node = i, .zeros = {i, 0}, .to = at({i, 0}), .writes = {Write::kSet}});
    cleared_.emplace(i, !whole || g_.node(i).when);
  }
  bool may_be_absent(Value v) const {
    return g_.node(v).when || (alias_of(g_, v.node) == Alias::kSum && !surely_written(g_, v.node));
  }

  void add_zeros(int node, Value like, const Place& to, const std::vector<int>& unless) {
    if (const auto it = cleared_.find(to.root.node); it != cleared_.end() && it->second) return;
    add_step({.node = node, .zeros = like, .to = to, .writes = {Write::kSet}, .unless = unless});
  }

  /// How the next output of a step, a part of `sum` (-1: of none), is written: the first part sets, the others add.
  /// Where the first may be absent that is decided in each run.
  void write_to(int sum, PlannedStep& step) {
    Write write = Write::kSet;
    int number = -1;
    if (sum >= 0) {
      const bool sure = step.when.empty() || step.when == std::vector{g_.node(sum).when};
      if (sum_[sum] != kUndecided) write = Write::kAdd;
      else sum_[sum] = sure ? -1 : layout_.sums++;
      number = sum_[sum];
      writes_into_.push_back(sum);
    }
    step.writes.push_back(write);
    step.sums.push_back(number);
  }

  /// Under the conditions of the step, and `more`.
  void touch(Value v, int step, const Condition& more = {}) {
    const Value root = at(v).root;
    if (!g_.node(root).op) return;  // inputs and stores have memory of their own
    int& slot = layout_.slot_of[root.node][root.output];
    if (slot < 0) {
      slot = static_cast<int>(layout_.slots.size());
      const auto& spec = g_.spec(root);
      Slot s;
      s.name = g_.node(root).name + ":" + g_.node(root).op->name;
      s.bytes = (static_cast<size_t>(spec.shape.elements()) * size_of(spec.dtype) + kAlignment - 1) / kAlignment *
                kAlignment;
      s.first = step;
      layout_.slots.push_back(s);
      backward_born_.push_back(step_is_backward(step));
      when_.push_back(conditions_of(step));
      if (more) when_.back().push_back(more);
    }
    const std::vector<Condition> now = conditions_of(step);
    std::erase_if(when_[slot],
                  [&](const Condition& c) { return c != more && !std::count(now.begin(), now.end(), c); });
    Slot& s = layout_.slots[slot];
    s.last = std::max(s.last, step);
    if (!backward_born_[slot] && step_is_backward(step)) s.saved = true;
  }

  std::vector<Condition> conditions_of(int step) const {
    return step < static_cast<int>(layout_.steps.size()) ? layout_.steps[step].when : std::vector<Condition>();
  }
  bool step_is_backward(int step) const {
    return step < static_cast<int>(layout_.steps.size()) && g_.node(layout_.steps[step].node).backward;
  }

  void assign() {
    layout_.slot_of.resize(g_.size());
    for (int i = 0; i < g_.size(); ++i) layout_.slot_of[i].assign(g_.node(i).outputs.size(), -1);
    for (int s = 0; s < static_cast<int>(layout_.steps.size()); ++s) {
      const PlannedStep& step = layout_.steps[s];
      if (step.zeros) touch(step.to.root, s);
      if (step.copy_from) {
        touch(step.copy_from, s);
        touch({step.node, 0}, s);
      }
      if (step.zeros || step.copy_from) continue;
      const Node& n = g_.node(step.node);
      const std::vector<int> terms = terms_of_inputs(n);
      for (size_t k = 0; k < n.inputs.size(); ++k)
        touch(n.inputs[k], s, terms[k] < 0 ? Condition() : g_.node(n.inputs[static_cast<size_t>(terms[k])]).when);
      for (size_t k = 0; k < g_.node(step.node).outputs.size(); ++k) touch({step.node, static_cast<int>(k)}, s);
    }
    const int end = static_cast<int>(layout_.steps.size());
    for (const Value v : outputs_)
      if (!g_.node(v).outputs.empty()) touch(v, end);
    for (size_t s = 0; s < when_.size(); ++s)
      if (!when_[s].empty()) layout_.slots[s].when = when_[s][0];
    if (pinned_) assign_apart();
    else assign_shared();
  }

  void assign_apart() {
    for (Slot& s : layout_.slots) {
      s.begin = layout_.arena_bytes;
      layout_.arena_bytes += s.bytes + kGuardBytes;
    }
  }

  /// Greedy by size: each buffer goes to the lowest gap among those it lives together with.
  void assign_shared() {
    auto& slots = layout_.slots;
    std::vector<int> order(slots.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return slots[a].bytes > slots[b].bytes; });
    std::vector<int> placed;  // sorted by begin
    for (const int i : order) {
      Slot& s = slots[i];
      size_t best = 0;
      for (const int j : placed) {
        const Slot& o = slots[j];
        if (o.last < s.first || s.last < o.first || exclusive(o.when, s.when)) continue;
        if (best + s.bytes <= o.begin) break;
        best = std::max(best, o.begin + o.bytes);
      }
      s.begin = best;
      layout_.arena_bytes = std::max(layout_.arena_bytes, best + s.bytes);
      placed.insert(std::upper_bound(placed.begin(), placed.end(), i,
                                     [&](int a, int b) { return slots[a].begin < slots[b].begin; }),
                    i);
    }
  }

  const Graph& g_;
  bool pinned_;
  std::vector<Value> outputs_;
  std::vector<std::vector<Link>> parent_;
  std::vector<std::vector<int>> uses_;
  std::vector<bool> requested_, backward_born_;
  static constexpr int kUndecided = -2;
  std::vector<std::vector<bool>> absent_;     // [node][output], read_when_absent()
  std::vector<std::vector<int>> writers_;     // of each sum
  std::vector<int> sum_, writes_into_;        // PlannedStep::sums of each sum; the sums that the next step writes
  std::map<int, bool> cleared_;               // packs that have been begun: whether with zeros
  std::vector<std::vector<Condition>> when_;  // of each slot
  Layout layout_;
};

}  // namespace

Layout plan_memory(const Graph& graph, const std::vector<Value>& outputs, bool pinned) {
  return Planner(graph, outputs, pinned).run();
}

}  // namespace mixop::autograd
