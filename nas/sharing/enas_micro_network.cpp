// The network of one architecture of the ENAS micro search, as it is trained from scratch.
#include <algorithm>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/unary.h"
#include "nas/sharing/enas_micro.h"

namespace mixop::nas {
namespace {

using Micro = EnasMicroSpace;

class NetworkOfArch {
 public:
  NetworkOfArch(Graph& g, Stores& stores, const EnasMicroOptions& o, const Arch& arch, bool training)
      : g_(g),
        stores_(stores),
        o_(o),
        arch_(arch),
        training_(training),
        layers_{g, stores.weights, &stores.state, training, true} {}

  NetworkOutputs build(Value images) {
    NetworkOutputs out;
    out.stem = cifar_stem(layers_, images, 3 * o_.channels);
    Value previous = out.stem, current = out.stem;
    int64_t channels = o_.channels;
    const std::array<int, 2> reductions = o_.reductions();
    for (int l = 0; l < o_.layers + 2; ++l) {
      const bool reduction = std::find(reductions.begin(), reductions.end(), l) != reductions.end();
      if (reduction) channels *= 2;
      previous = std::exchange(current, cell(l, previous, current, channels, reduction));
      out.cells.push_back(current);
      if (o_.auxiliary && training_ && l == reductions[1] + 1)
        out.auxiliary = enas_auxiliary_head(layers_, current, o_.classes);
    }
    out.pooled = autograd::global_avg_pool(g_, autograd::relu(g_, current));
    out.logits =
        enas_classifier(layers_, out.pooled, stores_.state,
                        {.classes = o_.classes, .keep = o_.keep, .seed = o_.seed, .stream = masks_}, training_);
    return out;
  }

 private:
  Value cell(int layer, Value previous, Value current, int64_t channels, bool reduction) {
    const Graph::Scope scope(g_, kernels::text("layers.", layer));
    std::vector<Value> states = {enas_calibrate(layers_, previous, "pre0", g_.shape(current), channels),
                                 enas_calibrate(layers_, current, "pre1", g_.shape(current), channels)};
    {
      const Graph::Scope base(g_, "base");
      states[1] = layers_.relu_conv_bn(states[1], channels);
    }
    for (int n = 0; n < Micro::kNodes; ++n) {
      const Graph::Scope node(g_, kernels::text("node.", n));
      std::vector<Value> terms;
      for (int slot = 0; slot < 2; ++slot) {
        const Graph::Scope slot_scope(g_, slot ? "second" : "first");
        const Micro::Element e = Micro::element(arch_, reduction, n, slot);
        terms.push_back(
            operation(e.op, layer, states[static_cast<size_t>(e.state)], reduction && e.state < 2 ? 2 : 1));
      }
      states.push_back(autograd::sum(g_, terms));
    }
    return combine(states, channels, reduction);
  }

  Value operation(int op, int layer, Value x, int stride) {
    const Graph::Scope scope(g_, std::string(Micro::kOps[static_cast<size_t>(op)]));
    switch (op) {
      case 0:
        return drop_path(layers_.separable(x, 3, stride), layer);
      case 1:
        return drop_path(layers_.separable(x, 5, stride), layer);
      case 2:
        return drop_path(layers_.pool(CellOp::avg_pool_3x3, x, stride), layer);
      case 3:
        return drop_path(layers_.pool(CellOp::max_pool_3x3, x, stride), layer);
      default:
        return stride == 1 ? x : layers_.factorized_reduce_rectified(x, g_.shape(x).last());
    }
  }

  Value drop_path(Value x, int layer) {
    if (!o_.drop_path || !training_) return x;
    const Value counter = g_.tensor(stores_.state, "counter", {1});
    const Value here =
        o_.schedule.steps ? scheduled_keep(g_, counter, o_.schedule, layer, o_.layers + 2) : keep_by_state(layer);
    return autograd::drop_path(g_, x, here, o_.seed, masks_++, counter);
  }

  Value keep_by_state(int layer) {
    const double share = (layer + 1.0) / (o_.layers + 2);
    const Value keep = g_.tensor(stores_.state, "drop_path.keep", {1}, autograd::Init::constant(1));
    return autograd::add(g_, autograd::constant(g_, {1}, 1 - share),
                         autograd::mul(g_, autograd::constant(g_, {1}, share), keep));
  }

  /// Concatenated loose ends; inputs among them are reduced to the size of the nodes.
  Value combine(const std::vector<Value>& states, int64_t channels, bool reduction) {
    std::vector<Value> parts;
    const auto loose = Micro::loose_ends(arch_, reduction);
    for (size_t s = 0; s < states.size(); ++s) {
      if (!loose[s]) continue;
      const Graph::Scope scope(g_, kernels::text("end.", s));
      parts.push_back(reduction && s < 2 ? layers_.factorized_reduce_rectified(states[s], channels) : states[s]);
    }
    return autograd::concat(g_, parts, 3);
  }

  Graph& g_;
  Stores& stores_;
  const EnasMicroOptions& o_;
  const Arch& arch_;
  bool training_;
  Layers layers_;
  uint64_t masks_ = 0;
};

}  // namespace

NetworkOutputs build_enas_micro_network(Graph& g, Value images, Stores& stores, const EnasMicroOptions& options,
                                        const Arch& arch, bool training) {
  options.check();
  Micro().validate(arch);
  return NetworkOfArch(g, stores, options, arch, training).build(images);
}

}  // namespace mixop::nas
