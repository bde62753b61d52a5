#include "autograd/passes/drop_path.h"

#include <algorithm>

#include "autograd/ops/copy.h"
#include "autograd/ops/dropout.h"

namespace mixop::autograd {

bool drops_samples(const Graph& g, Value v) {
  const Node& n = g.node(v);
  return n.op == &kMaskScale && n.outputs[0].shape.rank() > 1 &&
         g.shape(n.inputs[1]) == Shape{n.outputs[0].shape[0]};
}

Value sample_factors(Rewriter& r, Value v) {
  const Node& n = r.node(v.node);
  std::vector<Value> in = n.inputs;
  const int place = std::max_element(in.begin() + 1, in.end())->node;
  const kernels::FillAttrs ones{r.graph().shape(in[1]), 1};
  in[0] = {r.insert(kFill, {}, ones, place, v.node), 0};
  return {r.insert(kMaskScale, in, n.attrs, place, v.node), 0};
}

}  // namespace mixop::autograd
