// The networks of the ENAS macro space: the child of the search and the final network.
#include <algorithm>

#include "autograd/ops/concat.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/unary.h"
#include "nas/sharing/enas_macro.h"
#include "nas/sharing/mixed_space.h"

namespace mixop::nas {
namespace {

using Macro = EnasMacroSpace;

constexpr std::array<int, 4> kKernels = {3, 3, 5, 5};
bool is_pool(int op) { return op >= 4; }
bool is_separable(int op) { return op == 1 || op == 3; }

/// A chain of layers that remember all earlier states; how a layer is made is the derived class's.
class ChainBuilder {
 public:
  ChainBuilder(Graph& g, Stores& stores, const EnasMacroOptions& o, bool training)
      : g_(g), layers_{g, stores.weights, &stores.state, training, true}, o_(o), stores_(stores) {}
  virtual ~ChainBuilder() = default;

  /// Reductions multiply the channels by `widen`.
  NetworkOutputs build(Value images, int64_t widen) {
    NetworkOutputs out;
    int64_t channels = o_.channels;
    out.stem = cifar_stem(layers_, images, channels);
    std::vector<Value> states = {out.stem};
    const std::array<int, 2> reductions = o_.reductions();
    for (int l = 0; l < o_.layers; ++l) {
      const Graph::Scope scope(g_, kernels::text("layers.", l));
      states.push_back(layer(l, states, channels));
      out.cells.push_back(states.back());
      if (std::find(reductions.begin(), reductions.end(), l) == reductions.end()) continue;
      channels *= widen;
      for (size_t s = 0; s < states.size(); ++s) {
        const Graph::Scope reduce(g_, kernels::text("reduce.", s));
        states[s] = layers_.factorized_reduce_rectified(states[s], channels);
      }
    }
    out.pooled = autograd::global_avg_pool(g_, states.back());
    out.logits = enas_classifier(layers_, out.pooled, stores_.state,
                                 {.classes = o_.classes, .keep = o_.keep, .seed = o_.seed}, layers_.training);
    return out;
  }

 protected:
  virtual Value layer(int l, const std::vector<Value>& states, int64_t channels) = 0;

  Value pool(int op, Value x) { return layers_.pool(op == 4 ? CellOp::avg_pool_3x3 : CellOp::max_pool_3x3, x, 1); }
  /// conv k x k "w", or depthwise "dw" and pointwise "pw".
  Value convolution(Value x, int64_t channels, int kernel, bool separable) {
    if (!separable) return layers_.conv(x, "w", channels, kernel, 1, kernel / 2);
    return layers_.conv(layers_.conv(x, "dw", channels, kernel, 1, kernel / 2, 1, channels), "pw", channels, 1);
  }

  Graph& g_;
  Layers layers_;
  const EnasMacroOptions& o_;

 private:
  Stores& stores_;
};

class ChildBuilder final : public ChainBuilder {
 public:
  ChildBuilder(Graph& g, Stores& stores, const EnasMacroOptions& o, const Arch* arch, bool training)
      : ChainBuilder(g, stores, o, training), arch_(arch) {
    if (!arch) choices_ = add_choices(g, static_cast<int>(Macro::begin(o.layers)));
  }

 private:
  Value layer(int l, const std::vector<Value>& states, int64_t channels) override {
    std::vector<Value> terms;
    const size_t first = Macro::begin(l);
    for (int s = 0; s < l; ++s) {
      const size_t at = first + 1 + static_cast<size_t>(s);
      const Value state = states[static_cast<size_t>(s)];
      if (!taken(at, 1)) continue;
      const Graph::When when(g_, condition(at, 1));
      terms.push_back(arch_ ? state : autograd::gate(g_, state));
    }
    for (int op = 0; op < static_cast<int>(Macro::kOps.size()); ++op) {
      if (!taken(first, op)) continue;
      const Graph::When when(g_, condition(first, op));
      terms.push_back(operation(op, states.back(), channels));
    }
    const Value sum = add_up(g_, terms);
    return l > 0 ? layers_.batch_norm(sum, "skip.bn") : sum;
  }

  Value operation(int op, Value x, int64_t channels) {
    const Graph::Scope scope(g_, std::string(Macro::kOps[static_cast<size_t>(op)]));
    const Value y = autograd::relu(g_, layers_.batch_norm(layers_.conv(x, "in.w", channels, 1), "in.bn"));
    if (is_pool(op)) return pool(op, y);
    return autograd::relu(
        g_, layers_.batch_norm(convolution(y, channels, kKernels[static_cast<size_t>(op)], is_separable(op))));
  }

  bool taken(size_t number, int32_t value) const { return !arch_ || (*arch_)[number] == value; }
  autograd::Condition condition(size_t number, int32_t value) const {
    return arch_ ? autograd::Condition{} : autograd::Condition{choices_[number], value};
  }

  const Arch* arch_;  ///< null: all
  std::vector<int> choices_;
};

class FinalBuilder final : public ChainBuilder {
 public:
  FinalBuilder(Graph& g, Stores& stores, const EnasMacroOptions& o, const Arch& arch, bool training)
      : ChainBuilder(g, stores, o, training), arch_(arch) {}

 private:
  Value layer(int l, const std::vector<Value>& states, int64_t channels) override {
    const Value out = operation(Macro::op(arch_, l), states.back(), channels);
    if (l == 0) return out;
    std::vector<Value> parts;
    for (int s = 0; s < l; ++s)
      if (Macro::skips(arch_, l, s)) parts.push_back(states[static_cast<size_t>(s)]);
    parts.push_back(out);
    const Graph::Scope scope(g_, "skip");
    return layers_.relu_conv_bn(autograd::concat(g_, parts, 3), channels);
  }

  Value operation(int op, Value x, int64_t channels) {
    const Graph::Scope scope(g_, std::string(Macro::kOps[static_cast<size_t>(op)]));
    Value y;
    {
      const Graph::Scope in(g_, "in");
      y = layers_.relu_conv_bn(x, channels);
    }
    if (is_pool(op)) return pool(op, y);
    return layers_.batch_norm(convolution(autograd::relu(g_, y), channels, kKernels[static_cast<size_t>(op)],
                                          o_.separable && is_separable(op)));
  }

  const Arch& arch_;
};

}  // namespace

NetworkOutputs build_enas_macro_child(Graph& g, Value images, Stores& stores, const EnasMacroOptions& options,
                                      bool training) {
  options.check();
  return ChildBuilder(g, stores, options, nullptr, training).build(images, 1);
}

NetworkOutputs build_enas_macro_child(Graph& g, Value images, Stores& stores, const EnasMacroOptions& options,
                                      const Arch& arch, bool training) {
  options.check();
  Macro(options.layers).validate(arch);
  return ChildBuilder(g, stores, options, &arch, training).build(images, 1);
}

NetworkOutputs build_enas_macro_network(Graph& g, Value images, Stores& stores, const EnasMacroOptions& options,
                                        const Arch& arch, bool training) {
  options.check();
  Macro(options.layers).validate(arch);
  return FinalBuilder(g, stores, options, arch, training).build(images, 2);
}

}  // namespace mixop::nas
