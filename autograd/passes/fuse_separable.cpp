// relu, depthwise, 1x1 and statistics become one `separable`; everything that its gradient consists of, from the
// gradient of the batch norm behind it to that of its input, becomes one `separable_grad`.
#include <algorithm>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/separable.h"
#include "autograd/passes/conditions.h"
#include "autograd/passes/match_conv.h"
#include "autograd/passes/passes.h"

namespace mixop::autograd {
namespace {

using kernels::BatchNormAttrs;
using kernels::Conv2dAttrs;
using kernels::SeparableAttrs;
using kernels::SeparableGradAttrs;
using kernels::SeparableUnit;
using kernels::Window;

bool is_pointwise(const Conv2dAttrs& a) { return a.groups == 1 && window_of(a) == Window{1, 1, 0, 1}; }

class Fuser {
 public:
  Fuser(Graph& g, std::vector<Value>& outputs) : r_(g, outputs) {}

  void run() {
    for (int i = 0; i < r_.graph().size(); ++i)
      if (r_.node(i).op == &kConv2d) fuse_unit(i);
    r_.finish();
  }

 private:
  /// A depthwise convolution and the 1x1 behind it, with the nodes of their gradients; -1: not there.
  struct Unit {
    int depthwise, pointwise, stats = -1;
    int norm_grad = -1, pointwise_dgrad = -1, pointwise_wgrad = -1, depthwise_dgrad = -1, depthwise_wgrad = -1;
    int sums = -1;  ///< the bn_reduce of the gradient that leaves
    Window window;
  };

  const Conv2dAttrs& conv(int i) const { return r_.node(i).attr<Conv2dAttrs>(); }
  bool alike(int i, const Unit& u) const { return same_condition(r_.graph(), i, u.depthwise); }

  void fuse_unit(int depthwise) {
    const Node& n = r_.node(depthwise);
    const int64_t channels = r_.graph().shape(n.inputs[0]).last();
    const auto window = window_of(conv(depthwise));
    if (!window || window->pad < 0 || conv(depthwise).groups != channels || n.outputs[0].shape.last() != channels)
      return;
    Unit u{.depthwise = depthwise, .pointwise = -1, .window = *window};
    if (!find_forward(u)) return;
    const bool trained = find_backward(u);
    if (!trained && u.pointwise_wgrad >= 0) return;  // y is needed by somebody who would not compute it again
    add_forward(u);
    if (trained) add_backward(u);
  }

  bool find_forward(Unit& u) {
    const Value y{u.depthwise, 0};
    if (r_.requested(y)) return false;
    for (const Use& use : r_.uses(y)) {
      const Node& n = r_.node(use.node);
      if (n.op == &kConv2d && use.input == 0 && u.pointwise < 0) u.pointwise = use.node;
      else if (n.op == &kConv2dWgrad && use.input == 1 && u.pointwise_wgrad < 0) u.pointwise_wgrad = use.node;
      else return false;
    }
    if (u.pointwise < 0 || !alike(u.pointwise, u) || !is_pointwise(conv(u.pointwise)) ||
        !conv(u.pointwise).load.none())
      return false;
    const Value z{u.pointwise, 0};
    for (const Use& use : r_.uses(z)) {
      if (r_.node(use.node).op != &kBnStats) continue;
      if (u.stats >= 0 || !alike(use.node, u) || r_.node(use.node).attr<BatchNormAttrs>().running > 1) return false;
      u.stats = use.node;
    }
    // The fused node stands behind the statistics: nobody may read z before.
    return u.stats < 0 ||
           std::all_of(r_.uses(z).begin(), r_.uses(z).end(), [&](const Use& use) { return use.node >= u.stats; });
  }

  /// Looks from the gradient of the norm of z on; true when all of it is there and nobody else reads what is
  /// between.
  bool find_backward(Unit& u) {
    u.norm_grad = norm_gradient(r_, {u.pointwise, 0});
    if (u.norm_grad < 0) return false;
    const Value dz{u.norm_grad, 0};
    if (r_.requested(dz)) return false;
    int wgrads = 0;
    for (const Use& use : r_.uses(dz)) {
      const OpDef* op = r_.node(use.node).op;
      if (op == &kConv2dDgrad && use.input == 0 && u.pointwise_dgrad < 0) u.pointwise_dgrad = use.node;
      else if (op == &kConv2dWgrad && use.node == u.pointwise_wgrad && use.input == 0) ++wgrads;
      else return false;
    }
    if (wgrads != (u.pointwise_wgrad >= 0) || u.pointwise_dgrad < 0) return false;
    if (r_.node(u.pointwise_dgrad).inputs[1] != r_.node(u.pointwise).inputs[1] || conv(u.pointwise_dgrad).mask)
      return false;
    const Value dy{u.pointwise_dgrad, 0};
    if (r_.requested(dy) || !alike(u.pointwise_dgrad, u)) return false;
    if (u.pointwise_wgrad >= 0 && !alike(u.pointwise_wgrad, u)) return false;
    for (const Use& use : r_.uses(dy)) {
      const OpDef* op = r_.node(use.node).op;
      if (op == &kConv2dDgrad && use.input == 0 && u.depthwise_dgrad < 0) u.depthwise_dgrad = use.node;
      else if (op == &kConv2dWgrad && use.input == 0 && u.depthwise_wgrad < 0) u.depthwise_wgrad = use.node;
      else return false;
    }
    if ((u.depthwise_wgrad >= 0) != (u.pointwise_wgrad >= 0)) return false;
    find_sums(u);
    const Graph& g = r_.graph();
    return (u.depthwise_dgrad >= 0 || u.depthwise_wgrad >= 0) &&
           (u.depthwise_dgrad < 0 || is_data_gradient(g, u.depthwise_dgrad, u.depthwise)) &&
           (u.depthwise_wgrad < 0 || is_weight_gradient(g, u.depthwise_wgrad, u.depthwise));
  }

  void find_sums(Unit& u) {
    if (u.depthwise_dgrad < 0 || !conv(u.depthwise).load.norm) return;
    const Node& d = r_.node(u.depthwise);
    for (const Use& use : r_.uses({u.depthwise_dgrad, 0})) {
      const Node& reduce = r_.node(use.node);
      if (reduce.op == &kBnReduce && use.input == 0 && alike(use.node, u) &&
          !reduce.attr<BatchNormAttrs>().scaled && reduce.inputs[1] == d.inputs[0] &&
          reduce.inputs[2] == d.inputs[2] && reduce.inputs[3] == d.inputs[3])
        u.sums = use.node;
    }
  }

  /// x, the operands of t, the two weights.
  std::vector<Value> operands(const Unit& u) const {
    std::vector<Value> in = loaded_operands(r_.graph(), u.depthwise);
    in.insert(in.end(), {r_.node(u.depthwise).inputs[1], r_.node(u.pointwise).inputs[1]});
    return in;
  }

  void add_forward(const Unit& u) {
    SeparableUnit unit{.window = u.window, .load = conv(u.depthwise).load};
    std::vector<Value> in = operands(u);
    if (u.stats >= 0) {
      const auto& a = r_.node(u.stats).attr<BatchNormAttrs>();
      unit.running = a.running > 0;
      unit.eps = a.eps;
      unit.momentum = a.momentum;
      in.insert(in.end(), r_.node(u.stats).inputs.begin() + 1, r_.node(u.stats).inputs.end());
    }
    const bool stats = u.stats >= 0;
    const int now = r_.insert(kSeparable, in, SeparableAttrs{{unit}, stats}, stats ? u.stats : u.pointwise);
    r_.replace({u.pointwise, 0}, {now, 0});
    for (int i = 0; stats && i < 3; ++i) r_.replace({u.stats, i}, {now, 1 + i});
  }

  void add_backward(const Unit& u) {
    auto [unit, in] = norm_operands(r_, u.norm_grad);
    unit.window = u.window;
    unit.load = conv(u.depthwise).load;
    const std::vector<Value> rest = operands(u);
    in.insert(in.end(), rest.begin(), rest.end());
    const SeparableGradAttrs attrs{{unit}, u.depthwise_dgrad >= 0, u.sums >= 0, u.depthwise_wgrad >= 0};
    const int now = r_.insert(kSeparableGrad, in, attrs, u.norm_grad);
    int out = 0;
    if (attrs.dx) r_.replace({u.depthwise_dgrad, 0}, {now, out++});
    for (int i = 0; attrs.sums && i < 2; ++i) r_.replace({u.sums, i}, {now, out++});
    if (!attrs.dw) return;
    r_.replace({u.depthwise_wgrad, 0}, {now, out++});
    r_.replace({u.pointwise_wgrad, 0}, {now, out});
  }

  Rewriter r_;
};

}  // namespace

void fuse_separable(Graph& graph, std::vector<Value>& outputs) { Fuser(graph, outputs).run(); }

}  // namespace mixop::autograd
