// Activations and their gradients in bfloat16: half the bytes, the same arithmetic in float32. A value is stored so
// when whoever makes it and all who read it can; weights, statistics and what is asked for stay as they are.
#include <numeric>

#include "autograd/passes/passes.h"

namespace mixop::autograd {
namespace {

/// Values that share memory are stored alike: a concatenation and its parts, a sum and its terms, slices.
class Sets {
 public:
  explicit Sets(const Graph& g) : first_(g.size() + 1) {
    for (int i = 0; i < g.size(); ++i) first_[i + 1] = first_[i] + static_cast<int>(g.node(i).outputs.size());
    parent_.resize(first_.back());
    std::iota(parent_.begin(), parent_.end(), 0);
  }
  int of(Value v) {
    int i = first_[v.node] + v.output;
    while (parent_[i] != i) i = parent_[i] = parent_[static_cast<size_t>(parent_[i])];
    return i;
  }
  void join(Value a, Value b) { parent_[of(a)] = of(b); }
  size_t size() const { return parent_.size(); }

 private:
  std::vector<int> first_, parent_;
};

bool is_alias(const Node& n) { return n.op && n.op->alias != OpDef::Alias::kNone; }

}  // namespace

void store_bf16(Graph& g, const std::vector<Value>& outputs) {
  Sets sets(g);
  for (int i = 0; i < g.size(); ++i)
    if (is_alias(g.node(i)))
      for (const Value v : g.node(i).inputs) sets.join(v, {i, 0});
  std::vector<bool> fits(sets.size(), true);
  const auto refuse = [&](Value v) { fits[sets.of(v)] = false; };
  for (const Value v : outputs)
    if (!g.node(v).outputs.empty()) refuse(v);
  for (int i = 0; i < g.size(); ++i) {
    const Node& n = g.node(i);
    const auto can = [&](bool output, size_t k) {
      return is_alias(n) || (n.op && n.op->bf16 && n.op->bf16(g, n, output, static_cast<int>(k)));
    };
    for (size_t k = 0; k < n.outputs.size(); ++k)
      if (n.outputs[k].dtype != DType::kF32 || !can(true, k)) refuse({i, static_cast<int>(k)});
    for (size_t k = 0; k < n.inputs.size(); ++k)
      if (!can(false, k)) refuse(n.inputs[k]);
  }
  for (int i = 0; i < g.size(); ++i)
    for (size_t k = 0; k < g.node(i).outputs.size(); ++k)
      if (fits[static_cast<size_t>(sets.of({i, static_cast<int>(k)}))]) g.node(i).outputs[k].dtype = DType::kBF16;
}

}  // namespace mixop::autograd
