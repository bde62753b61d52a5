// The gradient of a relu that several convolutions read is a mask over the sum of their data gradients. It becomes
// the mask of each, which their kernels apply for nothing, and the parts join the sum that the masked one was in.
#include <algorithm>
#include <map>

#include "autograd/ops/binary.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/unary.h"
#include "autograd/passes/conditions.h"
#include "autograd/passes/passes.h"
#include "autograd/passes/rewrite.h"

namespace mixop::autograd {
namespace {

using kernels::Conv2dAttrs;
using kernels::ReluGradAttrs;

bool takes_mask(const Rewriter& r, Value v) {
  const Node& n = r.node(v.node);
  return n.op == &kConv2dDgrad && !n.attr<Conv2dAttrs>().mask && r.only_use(v);
}

/// The masked parts of the sum that relu_grad i reads; none when one of them cannot take the mask.
std::vector<Value> distribute(Rewriter& r, int i) {
  const Node& n = r.node(i);
  const Node& sum = r.node(n.inputs[0].node);
  if (sum.op != &kSum || !r.only_use(n.inputs[0]) ||
      !std::all_of(sum.inputs.begin(), sum.inputs.end(),
                   [&](Value v) { return takes_mask(r, v) && same_condition(r.graph(), v.node, i); }) ||
      !same_condition(r.graph(), n.inputs[0].node, i))
    return {};
  std::vector<Value> parts;
  for (const Value v : sum.inputs) {
    const Node& dgrad = r.node(v.node);
    auto attrs = dgrad.attr<Conv2dAttrs>();
    attrs.mask = true;
    attrs.load = n.attr<ReluGradAttrs>().load;
    std::vector<Value> in = dgrad.inputs;
    in.insert(in.end(), n.inputs.begin() + 1, n.inputs.end());
    parts.push_back({r.insert(kConv2dDgrad, in, attrs, v.node), 0});
  }
  return parts;
}

}  // namespace

void distribute_masks(Graph& graph, std::vector<Value>& outputs) {
  Rewriter r(graph, outputs);
  std::map<int, std::map<int, std::vector<Value>>> sums;  // of a sum: by input, what takes its place
  for (int i = 0; i < graph.size(); ++i) {
    if (graph.node(i).op != &kReluGrad) continue;
    const std::vector<Value> parts = distribute(r, i);
    if (parts.empty()) continue;
    const Use* use = r.only_use({i, 0});
    if (use && graph.node(use->node).op == &kSum) sums[use->node][use->input] = parts;
    else r.replace({i, 0}, {r.insert(kSum, parts, nullptr, i), 0});
  }
  for (const auto& [sum, parts] : sums) {
    std::vector<Value> in;
    for (int k = 0; k < static_cast<int>(graph.node(sum).inputs.size()); ++k) {
      if (const auto it = parts.find(k); it != parts.end())
        in.insert(in.end(), it->second.begin(), it->second.end());
      else in.push_back(graph.node(sum).inputs[k]);
    }
    r.replace({sum, 0}, {r.insert(kSum, in, nullptr, sum), 0});
  }
  r.finish();
}

}  // namespace mixop::autograd
