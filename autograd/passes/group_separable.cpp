// Units that can run at the same time become one node. Each node has an interval in the order: behind the last of
// its producers, before the first of its readers; any set of intervals with a common point can be one node there.
// Sorted by their ends, groups that take all they can are as few as possible.
#include <algorithm>
#include <limits>
#include <map>

#include "autograd/ops/binary.h"
#include "autograd/ops/separable.h"
#include "autograd/passes/passes.h"
#include "autograd/passes/rewrite.h"

namespace mixop::autograd {
namespace {

using kernels::SeparableAttrs;
using kernels::SeparableGradAttrs;

/// What differs between the two ops: attributes and where a unit's input x lies.
struct Forward {
  using Attrs = SeparableAttrs;
  static const OpDef& op() { return kSeparable; }
  static size_t x_at(const Attrs&) { return 0; }
  static int flags(const Attrs& a) { return a.stats; }
};
struct Backward {
  using Attrs = SeparableGradAttrs;
  static const OpDef& op() { return kSeparableGrad; }
  static size_t x_at(const Attrs& a) { return a.units[0].x_at(); }
  static int flags(const Attrs& a) { return a.dx + 2 * a.sums + 4 * a.dw; }
};

template <class Kind>
class Grouper {
 public:
  using Attrs = typename Kind::Attrs;

  Grouper(Graph& g, std::vector<Value>& outputs) : r_(g, outputs) {}

  /// Groups the single units for which wanted(attributes) holds; with `shared` only those of one input.
  template <class Wanted>
  void run(bool shared, Wanted&& wanted) {
    std::map<std::vector<Value>, std::vector<Member>> kinds;  // in the order of their keys, hence of their inputs
    for (int i = 0; i < r_.graph().size(); ++i) {
      const Node& n = r_.node(i);
      if (n.op != &Kind::op() || attrs(i).units.size() != 1 || !wanted(attrs(i))) continue;
      const Member m = member(i);
      std::vector<Value> key = shared ? m.input : std::vector<Value>();
      key.push_back({Kind::flags(attrs(i)), attrs(i).units[0].window.stride});
      if (!shared || one_sum(i)) kinds[key].push_back(m);
    }
    for (auto& [key, members] : kinds) group(members);
    write_sums();
    r_.finish();
  }

 private:
  struct Member {
    int node, begin, end;      ///< computed behind `begin`, read by `end`
    std::vector<Value> input;  ///< x and the operands of t
  };

  const Attrs& attrs(int i) const { return r_.node(i).template attr<Attrs>(); }

  Member member(int i) const {
    Member m{i, -1, std::numeric_limits<int>::max(), {}};
    const Node& n = r_.node(i);
    for (const Value v : n.inputs)
      if (r_.node(v.node).op) m.begin = std::max(m.begin, v.node);
    for (size_t k = 0; k < n.outputs.size(); ++k)
      for (const Use& u : r_.uses({i, static_cast<int>(k)})) m.end = std::min(m.end, u.node);
    const size_t x = Kind::x_at(attrs(i));
    const auto first = n.inputs.begin() + static_cast<int64_t>(x);
    m.input.assign(first, first + 1 + attrs(i).units[0].load.inputs());
    m.input.push_back({attrs(i).units[0].load.relu, 0});
    return m;
  }

  /// Units of one input have one data gradient: it must go into one sum and nowhere else.
  bool one_sum(int i) const {
    if constexpr (std::is_same_v<Kind, Forward>) return true;
    else {
      if (!attrs(i).dx) return true;
      const Use* use = r_.only_use({i, 0});
      return use && r_.node(use->node).op == &kSum;
    }
  }

  void group(std::vector<Member>& members) {
    std::stable_sort(members.begin(), members.end(),
                     [](const Member& a, const Member& b) { return a.end < b.end; });
    std::vector<bool> done(members.size());
    for (size_t i = 0; i < members.size(); ++i) {
      if (done[i]) continue;
      std::vector<Member> chosen;
      int begin = -1, end = members[i].end;
      for (size_t j = i; j < members.size(); ++j) {
        const Member& m = members[j];
        if (done[j] || std::max(begin, m.begin) >= std::min(end, m.end)) continue;
        begin = std::max(begin, m.begin), end = std::min(end, m.end);
        chosen.push_back(m);
        done[j] = true;
      }
      // Results of the way forward are fresh for who reads them first, gradients are read fresh.
      constexpr bool kForward = std::is_same_v<Kind, Forward>;
      if (chosen.size() > 1) merge(std::move(chosen), kForward ? std::min(end, r_.graph().size()) - 1 : begin);
    }
  }

  void merge(std::vector<Member> members, int place) {
    std::stable_sort(members.begin(), members.end(),
                     [](const Member& a, const Member& b) { return a.input < b.input; });
    Attrs all = attrs(members[0].node);
    all.units.clear();
    std::vector<Value> inputs;
    for (size_t i = 0; i < members.size(); ++i) {
      all.units.push_back(attrs(members[i].node).units[0]);
      all.units.back().same_input = i > 0 && members[i].input == members[i - 1].input;
      const Node& n = r_.node(members[i].node);
      inputs.insert(inputs.end(), n.inputs.begin(), n.inputs.end());
    }
    const int now = r_.insert(Kind::op(), inputs, all, place, members[0].node);
    if constexpr (std::is_same_v<Kind, Forward>) replace_outputs(now, members);
    else replace_gradients(now, members, all);
  }

  void replace_outputs(int now, const std::vector<Member>& members) {
    int out = 0;
    for (const Member& m : members)
      for (size_t k = 0; k < r_.node(m.node).outputs.size(); ++k)
        r_.replace({m.node, static_cast<int>(k)}, {now, out++});
  }

  void replace_gradients(int now, const std::vector<Member>& members, const Attrs& all) {
    const int per_group = static_cast<int>(all.outputs_of_group());
    int out = 0;
    for (size_t i = 0; i < members.size(); ++i) {
      const int node = members[i].node;
      if (all.units[i].same_input) {
        if (all.dx) left_out_.push_back({node, 0});
        continue;
      }
      for (int k = 0; k < per_group; ++k) r_.replace({node, k}, {now, out++});
    }
    for (const Member& m : members)
      for (int k = 0; all.dw && k < 2; ++k) r_.replace({m.node, per_group + k}, {now, out++});
  }

  /// Sums lose the gradients that are part of another one now.
  void write_sums() {
    std::map<int, std::vector<Value>> sums;
    for (const Value v : left_out_) sums[r_.uses(v)[0].node].push_back(v);
    for (const auto& [node, gone] : sums) {
      std::vector<Value> rest;
      for (const Value v : r_.node(node).inputs)
        if (std::find(gone.begin(), gone.end(), v) == gone.end()) rest.push_back(v);
      if (rest.size() == 1) r_.replace({node, 0}, rest[0]);
      else r_.replace({node, 0}, {r_.insert(kSum, rest, nullptr, node), 0});
    }
  }

  Rewriter r_;
  std::vector<Value> left_out_;
};

}  // namespace

void group_separable(Graph& g, std::vector<Value>& outputs, bool apart) {
  const auto first_half = [](const SeparableAttrs& a) { return !a.active && !a.units[0].load.norm; };
  const auto second_half = [](const SeparableAttrs& a) { return !a.active && a.units[0].load.norm; };
  const auto to_first_half = [](const SeparableGradAttrs& a) { return a.sums; };
  const auto to_state = [](const SeparableGradAttrs& a) { return !a.sums; };
  Grouper<Forward>(g, outputs).run(!apart, first_half);
  g = prune(g, outputs);
  if (apart) {
    Grouper<Forward>(g, outputs).run(false, second_half);
    g = prune(g, outputs);
    Grouper<Backward>(g, outputs).run(false, to_first_half);
    g = prune(g, outputs);
  }
  Grouper<Backward>(g, outputs).run(true, to_state);
}

}  // namespace mixop::autograd
