// Fused forms are names for composites. Relu and batch norm are absorbed on load by conv2d and conv2d_wgrad, batch
// norm on load by mix, mix_weight_grad and the mask of relu_grad; relu_grad becomes the mask of the conv2d_dgrad
// that feeds it; scale becomes the gradient operand of bn_reduce and bn_grad.
#include <algorithm>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/unary.h"
#include "autograd/passes/conditions.h"
#include "autograd/passes/passes.h"

namespace mixop::autograd {
namespace {

using kernels::BatchNormAttrs;
using kernels::Conv2dAttrs;
using kernels::MixAttrs;
using kernels::OnLoad;
using kernels::ReluGradAttrs;

struct Use {
  int node, input;
};

class Fuser {
 public:
  Fuser(Graph& g, const std::vector<Value>& outputs) : g_(g), requested_(g.size()), uses_(g.size()) {
    for (const Value v : outputs) requested_[v.node] = true;
    for (int i = 0; i < g.size(); ++i)
      for (size_t k = 0; k < g.node(i).inputs.size(); ++k)
        if (g.node(i).inputs[k].output == 0) uses_[g.node(i).inputs[k].node].push_back({i, static_cast<int>(k)});
  }

  void run() {
    find_absorbable();
    for (int i = 0; i < g_.size(); ++i) {
      const OpDef* op = g_.node(i).op;
      if (op == &kConv2d) absorb_into_conv(g_.node(i), 0);
      else if (op == &kConv2dWgrad) absorb_into_conv(g_.node(i), 1);
      else if (op == &kMix) absorb_into_mix(g_.node(i), 1);
      else if (op == &kMixWeightGrad) absorb_into_mix(g_.node(i), 2);
      else if (op == &kReluGrad) absorb_into_relu_grad(g_.node(i));
      else if (op == &kBnReduce || op == &kBnGrad) absorb_scale(g_.node(i));
    }
  }

 private:
  bool sole_users_absorb(int i, bool (Fuser::*can)(const Use&) const) const {
    if (requested_[i] || uses_[i].empty()) return false;
    return std::all_of(uses_[i].begin(), uses_[i].end(),
                       [&](const Use& u) { return (this->*can)(u) && may_absorb(g_, i, u.node, u.input); });
  }
  bool conv_operand(const Use& u) const {
    const OpDef* op = g_.node(u.node).op;
    return (op == &kConv2d && u.input == 0) || (op == &kConv2dWgrad && u.input == 1);
  }
  bool norm_operand(const Use& u) const {
    const OpDef* op = g_.node(u.node).op;
    return conv_operand(u) || (op == &kMix && u.input >= 1) || (op == &kMixWeightGrad && u.input >= 2) ||
           (op == &kReluGrad && u.input == 1) || (op == &kRelu && absorbable_[u.node]);
  }
  bool gradient_operand(const Use& u) const {
    const OpDef* op = g_.node(u.node).op;
    return (op == &kBnReduce || op == &kBnGrad) && u.input == 0;
  }

  void find_absorbable() {
    absorbable_.assign(g_.size(), false);
    for (int i = 0; i < g_.size(); ++i)
      if (g_.node(i).op == &kRelu) absorbable_[i] = sole_users_absorb(i, &Fuser::conv_operand);
    for (int i = 0; i < g_.size(); ++i) {
      if (g_.node(i).op == &kBnApply) absorbable_[i] = sole_users_absorb(i, &Fuser::norm_operand);
      if (g_.node(i).op == &kScale) absorbable_[i] = sole_users_absorb(i, &Fuser::gradient_operand);
    }
  }

  /// Follows v through absorbed producers; fills `load` and the operands (mean, rstd, gamma, beta) it needs.
  Value take(Value v, bool with_relu, OnLoad& load, std::vector<Value>& operands) const {
    if (with_relu && g_.node(v).op == &kRelu && absorbable_[v.node]) {
      load.relu = true;
      v = g_.node(v).inputs[0];
    }
    const Node& n = g_.node(v);
    if (n.op == &kBnApply && absorbable_[v.node]) {
      load.norm = true;
      load.affine = n.inputs.size() > 3;
      operands.assign(n.inputs.begin() + 1, n.inputs.end());
      v = n.inputs[0];
    }
    return v;
  }

  void absorb_into_conv(Node& n, int x) {
    Conv2dAttrs attrs = n.attr<Conv2dAttrs>();
    std::vector<Value> operands;
    n.inputs[x] = take(n.inputs[x], true, attrs.load, operands);
    n.inputs.insert(n.inputs.end(), operands.begin(), operands.end());
    n.attrs = std::make_shared<const Conv2dAttrs>(attrs);
  }

  void absorb_into_mix(Node& n, size_t first) {
    MixAttrs attrs = n.attr<MixAttrs>();
    std::vector<Value> inputs(n.inputs.begin(), n.inputs.begin() + static_cast<int>(first));
    for (size_t t = 0; t < attrs.terms.size(); ++t) {
      std::vector<Value> operands;
      inputs.push_back(take(n.inputs[first + t], false, attrs.terms[t].load, operands));
      inputs.insert(inputs.end(), operands.begin(), operands.end());
    }
    n.inputs = std::move(inputs);
    n.attrs = std::make_shared<const MixAttrs>(std::move(attrs));
  }

  void absorb_into_relu_grad(Node& n) {
    ReluGradAttrs attrs = n.attr<ReluGradAttrs>();
    std::vector<Value> operands;
    n.inputs[1] = take(n.inputs[1], false, attrs.load, operands);
    n.inputs.insert(n.inputs.end(), operands.begin(), operands.end());
    n.attrs = std::make_shared<const ReluGradAttrs>(attrs);
    const Value dy = n.inputs[0];
    const Node& producer = g_.node(dy);
    if (producer.op != &kConv2dDgrad || requested_[dy.node] || uses_[dy.node].size() != 1) return;
    if (producer.when && producer.when != n.when) return;
    Conv2dAttrs conv = producer.attr<Conv2dAttrs>();
    if (conv.mask) return;
    conv.mask = true;
    conv.load = attrs.load;
    std::vector<Value> inputs = producer.inputs;
    inputs.insert(inputs.end(), n.inputs.begin() + 1, n.inputs.end());
    n.op = &kConv2dDgrad;
    n.inputs = std::move(inputs);
    n.attrs = std::make_shared<const Conv2dAttrs>(std::move(conv));
  }

  void absorb_scale(Node& n) {
    const Node& producer = g_.node(n.inputs[0]);
    if (producer.op != &kScale || !absorbable_[n.inputs[0].node]) return;
    BatchNormAttrs attrs = n.attr<BatchNormAttrs>();
    attrs.scaled = true;
    attrs.scale_index = producer.attr<kernels::ScaleAttrs>().index;
    n.inputs[0] = producer.inputs[1];
    n.inputs.push_back(producer.inputs[0]);
    n.attrs = std::make_shared<const BatchNormAttrs>(attrs);
  }

  Graph& g_;
  std::vector<bool> requested_, absorbable_;
  std::vector<std::vector<Use>> uses_;
};

}  // namespace

void fuse(Graph& graph, const std::vector<Value>& outputs) { Fuser(graph, outputs).run(); }

}  // namespace mixop::autograd
