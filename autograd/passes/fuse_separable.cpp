// relu, depthwise, 1x1 and statistics become one `separable`; everything that its gradient consists of, from the
// gradient of the batch norm behind it to that of its input, becomes one `separable_grad`.
#include <algorithm>
#include <optional>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/separable.h"
#include "autograd/passes/drop_path.h"
#include "autograd/passes/passes.h"
#include "autograd/passes/rewrite.h"

namespace mixop::autograd {
namespace {

using kernels::BatchNormAttrs;
using kernels::Conv2dAttrs;
using kernels::OnLoad;
using kernels::SeparableAttrs;
using kernels::SeparableGradAttrs;
using kernels::SeparableGradUnit;
using kernels::SeparableUnit;
using kernels::Window;

std::optional<Window> window_of(const Conv2dAttrs& a) {
  const Window w{a.kernel[0], a.stride[0], a.pad_begin[0], a.dilation[0]};
  const bool square = a.kernel[1] == w.kernel && a.stride[1] == w.stride && a.dilation[1] == w.dilation &&
                      a.pad_begin[1] == w.pad && a.pad_end[0] == w.pad && a.pad_end[1] == w.pad && w.pad >= 0;
  return square ? std::optional(w) : std::nullopt;
}

bool is_pointwise(const Conv2dAttrs& a) { return a.groups == 1 && window_of(a) == Window{1, 1, 0, 1}; }

bool same_norm(const OnLoad& a, const OnLoad& b) { return a.norm == b.norm && a.affine == b.affine; }

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

  void fuse_unit(int depthwise) {
    const Node& n = r_.node(depthwise);
    const int64_t channels = r_.graph().shape(n.inputs[0]).last();
    const auto window = window_of(conv(depthwise));
    if (!window || conv(depthwise).groups != channels || n.outputs[0].shape.last() != channels) return;
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
    if (u.pointwise < 0 || !is_pointwise(conv(u.pointwise)) || !conv(u.pointwise).load.none()) return false;
    const Value z{u.pointwise, 0};
    for (const Use& use : r_.uses(z)) {
      if (r_.node(use.node).op != &kBnStats) continue;
      if (u.stats >= 0 || r_.node(use.node).attr<BatchNormAttrs>().running > 1) return false;
      u.stats = use.node;
    }
    // The fused node stands behind the statistics: nobody may read z before.
    return u.stats < 0 ||
           std::all_of(r_.uses(z).begin(), r_.uses(z).end(), [&](const Use& use) { return use.node >= u.stats; });
  }

  /// Looks from the gradient of the norm of z on; true when all of it is there and nobody else reads what is
  /// between.
  bool find_backward(Unit& u) {
    for (const Use& use : r_.uses({u.pointwise, 0}))
      if (r_.node(use.node).op == &kBnGrad && use.input == 1) {
        if (u.norm_grad >= 0) return false;
        u.norm_grad = use.node;
      }
    if (u.norm_grad < 0 || !r_.node(u.norm_grad).attr<BatchNormAttrs>().training) return false;
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
    if (r_.requested(dy)) return false;
    for (const Use& use : r_.uses(dy)) {
      const OpDef* op = r_.node(use.node).op;
      if (op == &kConv2dDgrad && use.input == 0 && u.depthwise_dgrad < 0) u.depthwise_dgrad = use.node;
      else if (op == &kConv2dWgrad && use.input == 0 && u.depthwise_wgrad < 0) u.depthwise_wgrad = use.node;
      else return false;
    }
    return (u.depthwise_wgrad >= 0) == (u.pointwise_wgrad >= 0) && data_gradient_fits(u) && weight_gradient_fits(u);
  }

  bool weight_gradient_fits(const Unit& u) const {
    if (u.depthwise_wgrad < 0) return u.depthwise_dgrad >= 0;
    const Node &n = r_.node(u.depthwise_wgrad), &d = r_.node(u.depthwise);
    // Without a data gradient that of the filter is the first result, to which sums would add: it cannot.
    const Use* reader = r_.only_use({u.depthwise_wgrad, 0});
    if (u.depthwise_dgrad < 0 && reader && r_.node(reader->node).op == &kSum) return false;
    const OnLoad &a = conv(u.depthwise_wgrad).load, &b = conv(u.depthwise).load;
    return n.inputs[1] == d.inputs[0] && same_norm(a, b) && a.relu == b.relu &&
           std::equal(n.inputs.begin() + 2, n.inputs.end(), d.inputs.begin() + 2, d.inputs.end());
  }

  /// The data gradient is masked exactly where t has a relu, by the same t.
  bool data_gradient_fits(Unit& u) {
    if (u.depthwise_dgrad < 0) return true;
    const Node &n = r_.node(u.depthwise_dgrad), &d = r_.node(u.depthwise);
    const Conv2dAttrs &a = conv(u.depthwise_dgrad), &forward = conv(u.depthwise);
    if (n.inputs[1] != d.inputs[1] || a.mask != forward.load.relu) return false;
    if (a.mask && (n.inputs[2] != d.inputs[0] || !same_norm(a.load, forward.load) ||
                   !std::equal(n.inputs.begin() + 3, n.inputs.end(), d.inputs.begin() + 2, d.inputs.end())))
      return false;
    if (!forward.load.norm) return true;
    for (const Use& use : r_.uses({u.depthwise_dgrad, 0})) {
      const Node& reduce = r_.node(use.node);
      if (reduce.op == &kBnReduce && use.input == 0 && !reduce.attr<BatchNormAttrs>().scaled &&
          reduce.inputs[1] == d.inputs[0] && reduce.inputs[2] == d.inputs[2] && reduce.inputs[3] == d.inputs[3])
        u.sums = use.node;
    }
    return true;
  }

  /// x, the operands of t, the two weights.
  std::vector<Value> operands(const Unit& u) const {
    const Node& d = r_.node(u.depthwise);
    std::vector<Value> in = {d.inputs[0]};
    in.insert(in.end(), d.inputs.begin() + 2, d.inputs.end());
    in.insert(in.end(), {d.inputs[1], r_.node(u.pointwise).inputs[1]});
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
    const Node& norm = r_.node(u.norm_grad);
    const auto& a = norm.attr<BatchNormAttrs>();
    SeparableGradUnit unit{.window = u.window,
                           .load = conv(u.depthwise).load,
                           .affine = a.affine,
                           .scaled = a.scaled,
                           .scale_index = a.scale_index};
    std::vector<Value> in = norm.inputs;
    if (!a.scaled && drops_samples(r_.graph(), in[0])) {
      unit.sampled = true;
      in.push_back(sample_factors(r_, in[0]));
      in[0] = r_.node(in[0].node).inputs[0];
    }
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
