// The child of the ENAS micro search: one graph for one architecture, or for all of them by choices.
#include <algorithm>

#include "autograd/ops/concat.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/unary.h"
#include "nas/sharing/enas_micro.h"
#include "nas/sharing/mixed_space.h"

namespace mixop::nas {
namespace {

using Micro = EnasMicroSpace;
constexpr int kOpCount = static_cast<int>(Micro::kOps.size());
constexpr int kCellChoices = 2 * Micro::kNodes + Micro::kStates;

class ChildBuilder {
 public:
  ChildBuilder(Graph& g, Stores& stores, const EnasMicroOptions& o, const Arch* arch, bool training)
      : g_(g),
        stores_(stores),
        o_(o),
        training_(training),
        layers_{g, stores.weights, nullptr, true, true},  // the statistics of the batch, always
        arch_(arch) {
    if (arch_) values_ = enas_micro_choices(*arch_);
    else choices_ = add_choices(g, 2 * kCellChoices);
  }

  NetworkOutputs build(Value images) {
    NetworkOutputs out;
    out.stem = cifar_stem(layers_, images, 3 * o_.channels);
    Value previous = out.stem, current = out.stem;
    int64_t channels = o_.channels;
    const std::array<int, 2> reductions = o_.reductions();
    for (int l = 0; l < o_.layers + 2; ++l) {
      const Graph::Scope scope(g_, kernels::text("layers.", l));
      const bool reduction = std::find(reductions.begin(), reductions.end(), l) != reductions.end();
      if (reduction) {
        channels *= 2;
        const Graph::Scope reduce(g_, "reduce");
        previous = std::exchange(current, layers_.factorized_reduce_rectified(current, channels));
      }
      previous = std::exchange(current, cell(previous, current, channels, reduction));
      out.cells.push_back(current);
      if (o_.auxiliary && training_ && l == reductions[1] + 1) out.auxiliary = auxiliary(current);
    }
    out.pooled = autograd::global_avg_pool(g_, autograd::relu(g_, current));
    out.logits = enas_classifier(layers_, out.pooled, stores_.state,
                                 {.classes = o_.classes, .keep = o_.keep, .seed = o_.seed},
                                 training_ || o_.evaluation_dropout);
    return out;
  }

 private:
  /// The classifier's weights are those of the network, not of the layer it follows.
  Value auxiliary(Value x) {
    const std::string scope = g_.scope();
    g_.set_scope("");
    const Value logits = enas_auxiliary_head(layers_, x, o_.classes);
    g_.set_scope(scope);
    return logits;
  }

  Value cell(Value previous, Value current, int64_t channels, bool reduction) {
    cell_ = reduction ? 1 : 0;
    std::vector<Value> states = {enas_calibrate(layers_, previous, "pre0", g_.shape(current), channels),
                                 enas_calibrate(layers_, current, "pre1", g_.shape(current), channels)};
    for (int n = 0; n < Micro::kNodes; ++n) {
      const Graph::Scope scope(g_, kernels::text("node.", n));
      std::vector<Value> candidates;
      for (int slot = 0; slot < 2; ++slot) {
        const Graph::Scope slot_scope(g_, slot ? "second" : "first");
        for (int from = 0; from < n + 2; ++from)
          for (int op = 0; op < kOpCount; ++op)
            if (taken(2 * n + slot, from * kOpCount + op)) {
              const Graph::When when(g_, condition(2 * n + slot, from * kOpCount + op));
              candidates.push_back(operation(op, from, states[static_cast<size_t>(from)]));
            }
      }
      states.push_back(add_up(g_, candidates));
    }
    return combine(states, channels);
  }

  Value operation(int op, int from, Value x) {
    const Graph::Scope scope(g_, std::string(Micro::kOps[static_cast<size_t>(op)]));
    const Graph::Scope input(g_, kernels::text("from.", from));
    switch (op) {
      case 0:
        return layers_.separable(x, 3, 1);
      case 1:
        return layers_.separable(x, 5, 1);
      case 2:
        return layers_.pool(CellOp::avg_pool_3x3, x, 1);
      case 3:
        return layers_.pool(CellOp::max_pool_3x3, x, 1);
      default:
        return g_.condition() ? autograd::gate(g_, x) : x;
    }
  }

  /// A 1x1 convolution of the concatenated loose ends, of which each state has its rows of the weight.
  Value combine(const std::vector<Value>& states, int64_t channels) {
    const Graph::Scope scope(g_, "output");
    std::vector<Value> parts;
    for (size_t s = 0; s < states.size(); ++s) {
      const int choice = 2 * Micro::kNodes + static_cast<int>(s);
      if (!taken(choice, 1)) continue;
      const Graph::When when(g_, condition(choice, 1));
      parts.push_back(layers_.conv(autograd::relu(g_, states[s]), kernels::text("state.", s, ".w"), channels, 1));
    }
    return layers_.batch_norm(add_up(g_, parts));
  }

  /// Whether what belongs to a value of a choice of the current cell type is part of the graph, and when it is
  /// carried out.
  bool taken(int choice, int32_t value) const { return !arch_ || values_[at(choice)] == value; }
  autograd::Condition condition(int choice, int32_t value) const {
    return arch_ ? autograd::Condition{} : autograd::Condition{choices_[at(choice)], value};
  }
  size_t at(int choice) const { return static_cast<size_t>(cell_ * kCellChoices + choice); }

  Graph& g_;
  Stores& stores_;
  const EnasMicroOptions& o_;
  bool training_;
  Layers layers_;
  const Arch* arch_;  ///< null: all
  std::vector<int32_t> values_;
  std::vector<int> choices_;
  int cell_ = 0;
};

}  // namespace

NetworkOutputs build_enas_micro_child(Graph& g, Value images, Stores& stores, const EnasMicroOptions& options,
                                      bool training) {
  options.check();
  return ChildBuilder(g, stores, options, nullptr, training).build(images);
}

NetworkOutputs build_enas_micro_child(Graph& g, Value images, Stores& stores, const EnasMicroOptions& options,
                                      const Arch& arch, bool training) {
  options.check();
  return ChildBuilder(g, stores, options, &arch, training).build(images);
}

}  // namespace mixop::nas
