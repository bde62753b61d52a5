// In a sum of gradients the parts that are multiples of others by elements of one table become one `mix`: a state
// that many nodes read gets their gradients in one pass.
#include <map>

#include "autograd/ops/binary.h"
#include "autograd/ops/mix.h"
#include "autograd/passes/conditions.h"
#include "autograd/passes/passes.h"
#include "autograd/passes/rewrite.h"

namespace mixop::autograd {
namespace {

using kernels::MixAttrs;
using kernels::ScaleAttrs;

void fuse_sum(Rewriter& r, int sum) {
  std::map<Value, std::vector<Value>> scaled;  // by table
  std::vector<Value> rest;
  for (const Value v : r.node(sum).inputs)
    if (r.node(v.node).op == &kScale && r.only_use(v) && same_condition(r.graph(), v.node, sum))
      scaled[r.node(v.node).inputs[0]].push_back(v);
    else rest.push_back(v);
  bool changed = false;
  for (const auto& [table, parts] : scaled) {
    if (parts.size() < 2) {
      rest.insert(rest.end(), parts.begin(), parts.end());
      continue;
    }
    MixAttrs attrs;
    std::vector<Value> inputs = {table};
    for (const Value v : parts) {
      attrs.terms.push_back({r.node(v.node).attr<ScaleAttrs>().index, {}});
      inputs.push_back(r.node(v.node).inputs[1]);
    }
    rest.push_back({r.insert(kMix, inputs, attrs, sum), 0});
    changed = true;
  }
  if (!changed) return;
  r.replace({sum, 0}, rest.size() == 1 ? rest[0] : Value{r.insert(kSum, rest, nullptr, sum), 0});
}

}  // namespace

void fuse_scales(Graph& graph, std::vector<Value>& outputs) {
  Rewriter r(graph, outputs);
  for (int i = 0; i < graph.size(); ++i)
    if (graph.node(i).op == &kSum) fuse_sum(r, i);
  r.finish();
}

}  // namespace mixop::autograd
