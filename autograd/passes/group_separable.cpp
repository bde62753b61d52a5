// Units that can run at the same time become one node. On a CPU they share one input, which is then read once; on a
// device all may, which saves launches.
#include <algorithm>
#include <limits>
#include <map>

#include "autograd/ops/binary.h"
#include "autograd/ops/separable.h"
#include "autograd/passes/intervals.h"
#include "autograd/passes/passes.h"

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

/// The preprocessing of a cell: nothing else in the cell reads its input.
template <class Attrs>
bool lone(const Attrs& a) {
  return !a.units[0].depthwise && a.units[0].window.stride == 1;
}

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

template <class Kind>
class Grouper {
 public:
  using Attrs = typename Kind::Attrs;

  /// With `shared` units of one input and stride share a node, else all may.
  Grouper(Graph& g, std::vector<Value>& outputs, bool shared)
      : g_(g), outputs_(outputs), r_(g, outputs), shared_(shared) {}

  /// Groups the single units for which wanted(attributes) holds, but for those that a table may skip.
  template <class Wanted>
  void run(Order order, size_t most, Wanted&& wanted) {
    std::map<std::vector<Value>, std::vector<Member>> kinds;  // in the order of their keys, hence of their inputs
    std::vector<int> ends(r_.graph().size(), -1);             // of the members
    for (int i = 0; i < r_.graph().size(); ++i) {
      if (r_.node(i).op != &Kind::op() || attrs(i).units.size() != 1) continue;
      if (attrs(i).active || !wanted(attrs(i))) continue;
      const Member m = member(i);
      if (!apart_from_producers(m, ends)) continue;
      ends[i] = m.end;
      std::vector<Value> key = shared_ ? m.input : std::vector<Value>();
      key.push_back({Kind::flags(attrs(i)), shared_ ? attrs(i).units[0].window.stride : 0});
      key.push_back({r_.node(i).when.choice, r_.node(i).when.value});
      kinds[key].push_back(m);
    }
    for (const auto& [key, members] : kinds) group(members, order, most);
    write_sums();
    r_.finish();
    g_ = prune(g_, outputs_);
  }

 private:
  struct Member : Interval {
    std::vector<Value> input;  ///< x, the operands of t, the sum that its gradient goes into
  };

  const Attrs& attrs(int i) const { return r_.node(i).template attr<Attrs>(); }

  Member member(int i) const {
    Member m{interval_of(r_, i), {}};
    const Node& n = r_.node(i);
    const size_t x = Kind::x_at(attrs(i));
    const auto first = n.inputs.begin() + static_cast<int64_t>(x);
    m.input.assign(first, first + 1 + attrs(i).units[0].load.inputs());
    m.input.push_back({attrs(i).units[0].load.relu, 0});
    if constexpr (std::is_same_v<Kind, Backward>) m.input.push_back(destination(i));
    return m;
  }

  /// Units of one input have one data gradient only when that goes into one sum and nowhere else. One whose sums
  /// are wanted stays by itself: its sums are not those of the whole.
  Value destination(int i) const {
    if (!attrs(i).dx) return {};
    if (attrs(i).sums) return {i, 0};
    const Use* use = r_.only_use({i, 0});
    return {use && r_.node(use->node).op == &kSum ? use->node : i, 0};
  }

  /// Whatever a member reads of another has been read by some node before it can begin: else their nodes could need
  /// each other.
  bool apart_from_producers(const Member& m, const std::vector<int>& ends) const {
    const auto& in = r_.node(m.node).inputs;
    return std::all_of(in.begin(), in.end(), [&](Value v) { return ends[v.node] <= m.begin; });
  }

  void group(const std::vector<Member>& members, Order order, size_t most) {
    for (const Meeting& m : meetings({members.begin(), members.end()}, order, most)) {
      if (m.members.size() < 2) continue;
      std::vector<Member> chosen;
      for (const size_t i : m.members) chosen.push_back(members[i]);
      // Results of the way forward are fresh for who reads them first, gradients are read fresh.
      constexpr bool kForward = std::is_same_v<Kind, Forward>;
      merge(std::move(chosen), kForward ? m.end - 1 : m.begin);
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
    for (size_t i = 0; i < members.size(); ++i)
      for (int k = 0; all.dw && k < static_cast<int>(all.units[i].weights()); ++k)
        r_.replace({members[i].node, per_group + k}, {now, out++});
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

  Graph& g_;
  std::vector<Value>& outputs_;
  Rewriter r_;
  bool shared_;
  std::vector<Value> left_out_;
};

/// Data and weight gradients become nodes of their own: weight gradients can wait until there are many.
void split_gradients(Graph& g, std::vector<Value>& outputs) {
  Rewriter r(g, outputs);
  for (int i = 0; i < g.size(); ++i) {
    if (g.node(i).op != &kSeparableGrad) continue;
    auto a = g.node(i).attr<SeparableGradAttrs>();
    if (!a.dx || !a.dw || a.units.size() != 1) continue;
    const int data_outputs = static_cast<int>(a.outputs_of_group()),
              all = static_cast<int>(g.node(i).outputs.size());
    a.dw = false;
    const int data = r.insert(kSeparableGrad, g.node(i).inputs, a, i);
    a.dx = a.sums = false, a.dw = true;
    const int weights = r.insert(kSeparableGrad, g.node(i).inputs, a, i);
    for (int k = 0; k < all; ++k)
      r.replace({i, k}, k < data_outputs ? Value{data, k} : Value{weights, k - data_outputs});
  }
  r.finish();
  g = prune(g, outputs);
}

bool first_half(const SeparableAttrs& a) { return !a.units[0].load.norm; }
bool second_half(const SeparableAttrs& a) { return a.units[0].load.norm; }

void group_on_cpu(Graph& g, std::vector<Value>& outputs) {
  Grouper<Forward>(g, outputs, true).run(Order::kEarliestEnd, kNoLimit, [](const SeparableAttrs& a) {
    return first_half(a) && !lone(a);
  });
  Grouper<Backward>(g, outputs, true).run(Order::kLatestBegin, kNoLimit, [](const SeparableGradAttrs& a) {
    return !a.sums && !lone(a);
  });
}

void group_on_device(Graph& g, std::vector<Value>& outputs) {
  constexpr size_t kMostWeights = 96;  // about those of a cell of the supernet; what they read must live until then
  split_gradients(g, outputs);
  for (const auto half : {first_half, second_half})
    Grouper<Forward>(g, outputs, false).run(Order::kEarliestEnd, kNoLimit, half);
  const auto gradients = [&](Order order, size_t most, auto&& wanted) {
    Grouper<Backward>(g, outputs, false).run(order, most, wanted);
  };
  using A = SeparableGradAttrs;
  // Those that read one gradient together; those that write one together, of both inputs of a cell before what
  // reads the gradients of both.
  gradients(Order::kEarliestEnd, kNoLimit, [](const A& a) { return a.dx && a.sums; });
  gradients(Order::kLatestBegin, kNoLimit, [](const A& a) { return a.dx && !a.sums && !lone(a); });
  gradients(Order::kLatestBegin, kNoLimit, [](const A& a) { return a.dx && !a.sums && lone(a); });
  gradients(Order::kEarliestBegin, kMostWeights, [](const A& a) { return !a.dx; });
}

}  // namespace

void group_separable(Graph& g, std::vector<Value>& outputs, bool apart) {
  if (apart) group_on_device(g, outputs);
  else group_on_cpu(g, outputs);
}

}  // namespace mixop::autograd
