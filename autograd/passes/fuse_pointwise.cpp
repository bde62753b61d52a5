// relu, 1x1 convolution and statistics become a `separable` whose unit has no depthwise half; their gradient, from
// that of the batch norm behind it on, becomes a `separable_grad`. A norm over several such convolutions side by
// side (factorised reduction) is a unit for each: what belongs to its channels is cut out of the tensors and
// vectors of the whole, which costs nothing.
#include <algorithm>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/concat.h"
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
using kernels::SliceAttrs;

class Fuser {
 public:
  Fuser(Graph& g, std::vector<Value>& outputs) : r_(g, outputs) {}

  void run() {
    for (int i = 0; i < r_.graph().size(); ++i)
      if (r_.node(i).op == &kBnStats) fuse_norm(i);
    r_.finish();
  }

 private:
  /// A convolution whose result is channels [begin, begin + channels) of what is normalised; -1: not there.
  struct Part {
    int conv, dgrad = -1, wgrad = -1;
    int64_t begin, channels;
    bool whole;
  };

  void fuse_norm(int stats) {
    const Value z = r_.node(stats).inputs[0];
    std::vector<Part> parts;
    if (r_.node(stats).attr<BatchNormAttrs>().running > 1 || !find_parts(z, stats, parts)) return;
    add_forward(stats, parts);
    const int norm_grad = norm_gradient(r_, z);
    if (norm_grad < 0 || !find_backward({norm_grad, 0}, parts)) return;
    for (const Part& p : parts)
      if (p.dgrad >= 0 || p.wgrad >= 0) add_backward(norm_grad, p);
  }

  bool is_unit(int i) const {
    const Node& n = r_.node(i);
    if (n.op != &kConv2d || !r_.free(i)) return false;
    const auto& a = n.attr<Conv2dAttrs>();
    const auto w = window_of(a);
    return a.groups == 1 && a.load.relu && w && w->kernel == 1 && w->dilation == 1 && w->stride <= 2 && w->pad <= 0;
  }

  bool find_parts(Value z, int stats, std::vector<Part>& parts) {
    const Node& n = r_.node(z.node);
    const std::vector<Value> results = n.op == &kConcat ? n.inputs : std::vector<Value>{z};
    int64_t begin = 0;
    for (const Value v : results) {
      if (!is_unit(v.node) || !same_condition(r_.graph(), v.node, stats)) return false;
      r_.take(v.node);
      const int64_t channels = r_.graph().shape(v).last();
      parts.push_back({.conv = v.node, .begin = begin, .channels = channels, .whole = v == z});
      begin += channels;
    }
    return true;
  }

  /// The part's channels of v, cut as early in the order as can be.
  Value cut(Value v, const Part& p) {
    if (p.whole) return v;
    const int place = r_.node(v.node).op ? v.node : -1;
    return {r_.insert(kSlice, {v}, SliceAttrs{p.begin, p.channels}, place, p.conv), 0};
  }

  /// x, the operands of t, the weights.
  std::vector<Value> operands(const Part& p) const {
    std::vector<Value> in = loaded_operands(r_.graph(), p.conv);
    in.push_back(r_.node(p.conv).inputs[1]);
    return in;
  }

  void add_forward(int stats, const std::vector<Part>& parts) {
    const Node& norm = r_.node(stats);
    const auto& a = norm.attr<BatchNormAttrs>();
    std::vector<Value> vectors[3];  // mean, var and rstd of each part
    for (const Part& p : parts) {
      const auto& conv = r_.node(p.conv).attr<Conv2dAttrs>();
      const SeparableUnit unit{.window = *window_of(conv),
                               .load = conv.load,
                               .depthwise = false,
                               .running = a.running > 0,
                               .eps = a.eps,
                               .momentum = a.momentum};
      std::vector<Value> in = operands(p);
      for (size_t i = 1; i < norm.inputs.size(); ++i) in.push_back(cut(norm.inputs[i], p));
      const int now = r_.insert(kSeparable, in, SeparableAttrs{{unit}, true}, p.conv);
      r_.replace({p.conv, 0}, {now, 0});
      for (int i = 0; i < 3; ++i) vectors[i].push_back({now, 1 + i});
    }
    for (int i = 0; i < 3; ++i)
      r_.replace({stats, i},
                 parts[0].whole ? vectors[i][0] : Value{r_.insert(kConcat, vectors[i], nullptr, stats), 0});
  }

  /// True when nobody but gradients of the parts' convolutions reads dz.
  bool find_backward(Value dz, std::vector<Part>& parts) {
    if (parts[0].whole) return find_gradients(dz, parts[0]);
    return !r_.requested(dz) && std::all_of(r_.uses(dz).begin(), r_.uses(dz).end(), [&](const Use& use) {
      const Node& n = r_.node(use.node);
      const auto part = std::find_if(parts.begin(), parts.end(), [&](const Part& p) {
        return n.op == &kSlice && n.attr<SliceAttrs>().begin == p.begin &&
               n.attr<SliceAttrs>().length == p.channels;
      });
      return part != parts.end() && find_gradients({use.node, 0}, *part);
    });
  }

  bool find_gradients(Value dz, Part& p) {
    return !r_.requested(dz) && std::all_of(r_.uses(dz).begin(), r_.uses(dz).end(), [&](const Use& use) {
      const bool data = is_data_gradient(r_.graph(), use.node, p.conv);
      int& found = data ? p.dgrad : p.wgrad;
      if (found >= 0 || use.input != 0 || !(data || is_weight_gradient(r_.graph(), use.node, p.conv))) return false;
      found = use.node;
      return true;
    });
  }

  void add_backward(int norm_grad, const Part& p) {
    auto [unit, in] = norm_operands(r_, norm_grad);
    const auto& conv = r_.node(p.conv).attr<Conv2dAttrs>();
    unit.window = *window_of(conv);
    unit.load = conv.load;
    unit.depthwise = false;
    for (int i = 0; i < (unit.affine ? 7 : 6); ++i) in[i] = cut(in[i], p);
    const std::vector<Value> rest = operands(p);
    in.insert(in.end(), rest.begin(), rest.end());
    const SeparableGradAttrs attrs{{unit}, p.dgrad >= 0, false, p.wgrad >= 0};
    const int now = r_.insert(kSeparableGrad, in, attrs, norm_grad);
    int out = 0;
    if (attrs.dx) r_.replace({p.dgrad, 0}, {now, out++});
    if (attrs.dw) r_.replace({p.wgrad, 0}, {now, out});
  }

  Rewriter r_;
};

}  // namespace

void fuse_pointwise(Graph& graph, std::vector<Value>& outputs) { Fuser(graph, outputs).run(); }

}  // namespace mixop::autograd
