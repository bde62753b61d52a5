#include "autograd/passes/match_conv.h"

#include <algorithm>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/conv2d.h"
#include "autograd/passes/conditions.h"
#include "autograd/passes/drop_path.h"

namespace mixop::autograd {

using kernels::BatchNormAttrs;
using kernels::Conv2dAttrs;
using kernels::OnLoad;
using kernels::Window;

namespace {

/// The inputs of a, from `from_a` on, are those of b.
bool same_operands(const Node& a, int from_a, const Node& b, int from_b) {
  return std::equal(a.inputs.begin() + from_a, a.inputs.end(), b.inputs.begin() + from_b, b.inputs.end());
}
bool same_norm(const OnLoad& a, const OnLoad& b) { return a.norm == b.norm && a.affine == b.affine; }

}  // namespace

std::optional<Window> window_of(const Conv2dAttrs& a) {
  const Window w{a.kernel[0], a.stride[0], a.pad_begin[0], a.dilation[0]};
  const int end = std::max(w.pad, 0);
  const bool square = a.kernel[1] == w.kernel && a.stride[1] == w.stride && a.dilation[1] == w.dilation &&
                      a.pad_begin[1] == w.pad && a.pad_end[0] == end && a.pad_end[1] == end;
  return square ? std::optional(w) : std::nullopt;
}

bool is_data_gradient(const Graph& g, int dgrad, int conv) {
  const Node &n = g.node(dgrad), &c = g.node(conv);
  if (n.op != &kConv2dDgrad || n.inputs[1] != c.inputs[1] || n.when != c.when) return false;
  const auto &a = n.attr<Conv2dAttrs>(), &forward = c.attr<Conv2dAttrs>();
  return a.mask == forward.load.relu &&
         (!a.mask || (n.inputs[2] == c.inputs[0] && same_norm(a.load, forward.load) && same_operands(n, 3, c, 2)));
}

bool is_weight_gradient(const Graph& g, int wgrad, int conv) {
  const Node &n = g.node(wgrad), &c = g.node(conv);
  if (n.op != &kConv2dWgrad || n.inputs[1] != c.inputs[0] || n.when != c.when) return false;
  const OnLoad &a = n.attr<Conv2dAttrs>().load, &b = c.attr<Conv2dAttrs>().load;
  return same_norm(a, b) && a.relu == b.relu && same_operands(n, 2, c, 2);
}

std::vector<Value> loaded_operands(const Graph& g, int conv) {
  std::vector<Value> in = g.node(conv).inputs;
  in.erase(in.begin() + 1);  // the weights
  return in;
}

int norm_gradient(const Rewriter& r, Value z) {
  int found = -1;
  for (const Use& use : r.uses(z)) {
    if (r.node(use.node).op != &kBnGrad || use.input != 1) continue;
    if (!same_condition(r.graph(), use.node, z.node)) return -1;
    if (found >= 0) return -1;
    found = use.node;
  }
  return found >= 0 && r.node(found).attr<BatchNormAttrs>().training ? found : -1;
}

NormOperands norm_operands(Rewriter& r, int norm_grad) {
  const Node& n = r.node(norm_grad);
  const auto& a = n.attr<BatchNormAttrs>();
  NormOperands o{{}, n.inputs};
  o.unit.affine = a.affine;
  o.unit.scaled = a.scaled;
  o.unit.scale_index = a.scale_index;
  if (!a.scaled && drops_samples(r.graph(), o.in[0]) && there_for(r.graph(), o.in[0].node, norm_grad)) {
    o.unit.sampled = true;
    o.in.push_back(sample_factors(r, o.in[0]));
    o.in[0] = r.node(o.in[0].node).inputs[0];
  }
  return o;
}

}  // namespace mixop::autograd
