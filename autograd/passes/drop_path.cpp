#include "autograd/passes/drop_path.h"

#include <algorithm>

#include "autograd/ops/copy.h"
#include "autograd/ops/dropout.h"

namespace mixop::autograd {
namespace {

bool is_ones(const Node& n, const Shape& shape) {
  return n.op == &kFill && n.attr<kernels::FillAttrs>().value == 1 && n.outputs[0].shape == shape;
}

}  // namespace

bool drops_samples(const Graph& g, Value v) {
  const Node& n = g.node(v);
  return n.op == &kMaskScale && n.outputs[0].shape.rank() > 1 &&
         g.shape(n.inputs[1]) == Shape{n.outputs[0].shape[0]};
}

Value sample_factors(Rewriter& r, Value v) {
  const Node& n = r.node(v.node);
  std::vector<Value> in = n.inputs;
  const Shape& mask = r.graph().shape(in[1]);
  for (const Use& use : r.uses(in[1])) {  // what another pass has asked for before
    const Node& m = r.node(use.node);
    if (use.node < v.node && m.op == &kMaskScale && m.attrs == n.attrs && is_ones(r.node(m.inputs[0].node), mask) &&
        std::equal(m.inputs.begin() + 1, m.inputs.end(), in.begin() + 1, in.end()))
      return {use.node, 0};
  }
  in[0] = {r.insert(kFill, {}, kernels::FillAttrs{mask, 1}, -1, v.node), 0};
  int place = -1;
  for (auto i = in.begin() + 1; i != in.end(); ++i)
    if (r.node(i->node).op) place = std::max(place, i->node);
  return {r.insert(kMaskScale, in, n.attrs, place, v.node), 0};
}

}  // namespace mixop::autograd
