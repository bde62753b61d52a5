#include "autograd/passes/conditions.h"

#include <algorithm>
#include <map>
#include <optional>

#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/mix.h"
#include "autograd/passes/passes.h"
#include "autograd/passes/rewrite.h"

namespace mixop::autograd {
namespace {

using Alias = OpDef::Alias;

bool any_condition(const Graph& g) {
  for (int i = 0; i < g.size(); ++i)
    if (g.node(i).when) return true;
  return false;
}

bool is_view(const Node& n) { return n.op && (n.op->alias == Alias::kSlice || n.op->alias == Alias::kReshape); }
/// Its parts are written into it, by their producers or by copies.
bool is_container(const Node& n) { return n.op && n.op->alias != Alias::kNone && !is_view(n); }

template <class Terms>
std::vector<int> terms_of_inputs(const Node& n, const Terms& terms, size_t first) {
  std::vector<int> z(n.inputs.size(), -1);
  for (const auto& t : terms) {
    std::fill_n(z.begin() + static_cast<int64_t>(first), t.inputs(), static_cast<int>(first));
    first += t.inputs();
  }
  return z;
}

/// Input k of node i may be absent when the node reads it.
bool reads_absent(const Graph& g, int i, size_t k, const std::vector<int>& terms) {
  const Node& n = g.node(i);
  const Condition& when = g.node(n.inputs[k]).when;
  if (!when || when == n.when) return false;
  return terms[k] < 0 || g.node(n.inputs[static_cast<size_t>(terms[k])]).when != when;
}

void drop_gates(Graph& g, std::vector<Value>& outputs) {
  Rewriter r(g, outputs);
  for (int i = 0; i < g.size(); ++i) {
    const Node& n = g.node(i);
    if (n.op == &kReshape && n.when && same_condition(g, i, n.inputs[0].node) &&
        g.shape(n.inputs[0]) == n.outputs[0].shape)
      r.replace({i, 0}, n.inputs[0]);
  }
  r.finish();
  g = prune(g, outputs);
}

}  // namespace

std::vector<int> terms_of_inputs(const Node& n) {
  using kernels::MixAttrs;
  using kernels::MixReduceAttrs;
  if (n.op == &kMix) return terms_of_inputs(n, n.attr<MixAttrs>().terms, n.attr<MixAttrs>().first_term());
  if (n.op == &kMixWeightGrad) return terms_of_inputs(n, n.attr<MixAttrs>().terms, 2);
  if (n.op == &kMixReduce)
    return terms_of_inputs(n, n.attr<MixReduceAttrs>().terms, n.attr<MixReduceAttrs>().first_term());
  return std::vector<int>(n.inputs.size(), -1);
}

bool may_absorb(const Graph& g, int producer, int reader, int input) {
  const Condition &when = g.node(producer).when, &before = g.node(g.node(producer).inputs[0]).when;
  if (!when && !before) return true;
  const bool term = terms_of_inputs(g.node(reader))[static_cast<size_t>(input)] == input;
  return term ? when == before : there_for(g, producer, reader);
}

void narrow_conditions(Graph& g, std::vector<Value>& outputs) {
  if (!any_condition(g)) return;
  std::vector<std::optional<Condition>> readers(static_cast<size_t>(g.size()));  // none where they disagree
  const auto reads = [&](Value v, const Condition& when) {
    auto& all = readers[static_cast<size_t>(v.node)];
    all = !all || *all == when ? when : Condition();
  };
  for (const Value v : outputs) reads(v, {});
  for (int i = g.size() - 1; i >= 0; --i) {
    Node& n = g.node(i);
    const auto& all = readers[static_cast<size_t>(i)];
    if (n.op && n.backward && !n.op->effect && !n.when && all) n.when = *all;
    for (const Value v : n.inputs) reads(v, n.when);
  }
  drop_gates(g, outputs);
}

void copy_views(Graph& g, std::vector<Value>& outputs) {
  if (!any_condition(g)) return;
  std::vector<bool> copied(static_cast<size_t>(g.size()));
  for (const Value v : outputs)
    if (is_view(g.node(v)) && g.node(v).when) copied[static_cast<size_t>(v.node)] = true;
  for (int i = 0; i < g.size(); ++i) {
    if (is_container(g.node(i))) continue;  // it copies views by itself
    const std::vector<int> terms = terms_of_inputs(g.node(i));
    for (size_t k = 0; k < g.node(i).inputs.size(); ++k)
      if (const Value v = g.node(i).inputs[k]; is_view(g.node(v)) && reads_absent(g, i, k, terms))
        copied[static_cast<size_t>(v.node)] = true;
  }
  std::vector<int> number;  // of a view its copy
  Graph result(g.real());
  for (int i = 0; i < g.size(); ++i) {
    Node n = g.node(i);
    for (Value& v : n.inputs) v.node = number[static_cast<size_t>(v.node)];
    number.push_back(result.append(std::move(n)));
    if (!copied[static_cast<size_t>(i)]) continue;
    Node copy = result.node(number.back());
    copy.op = &kCopy;
    copy.attrs = nullptr;
    copy.inputs = {{number.back(), 0}};
    number.back() = result.append(std::move(copy));
  }
  for (Value& v : outputs) v.node = number[static_cast<size_t>(v.node)];
  g = std::move(result);
}

bool surely_written(const Graph& g, int sum) {
  const auto& parts = g.node(sum).inputs;
  return std::any_of(parts.begin(), parts.end(), [&](Value v) { return there_for(g, v.node, sum); });
}

std::vector<std::vector<bool>> read_when_absent(const Graph& g, const std::vector<Value>& outputs) {
  std::vector<std::vector<bool>> absent(static_cast<size_t>(g.size()));
  for (int i = 0; i < g.size(); ++i) absent[static_cast<size_t>(i)].resize(g.node(i).outputs.size());
  const auto mark = [&](Value v) { absent[static_cast<size_t>(v.node)][static_cast<size_t>(v.output)] = true; };
  for (const Value v : outputs)
    if (g.node(v).when && !g.node(v).outputs.empty()) mark(v);
  for (int i = g.size() - 1; i >= 0; --i) {
    const Node& n = g.node(i);
    if (!n.op) continue;
    if (n.op->alias == Alias::kSum) {  // its parts need not be there, but one of them must
      if (!surely_written(g, i)) mark({i, 0});
      continue;
    }
    if (n.op->alias == Alias::kPack) continue;  // zero before it is written
    const std::vector<int> terms = terms_of_inputs(n);
    const bool whole = n.op->alias == Alias::kConcat && absent[static_cast<size_t>(i)][0];
    for (size_t k = 0; k < n.inputs.size(); ++k)
      if (const Value v = n.inputs[k]; reads_absent(g, i, k, terms) || (whole && g.node(v).when)) mark(v);
  }
  return absent;
}

}  // namespace mixop::autograd
