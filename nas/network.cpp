#include "nas/network.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"

namespace mixop::nas {

using autograd::Init;

void NetworkOptions::check() const {
  MIXOP_CHECK(cells >= 1 && channels >= 1 && classes >= 2 && image_channels >= 1,
              "network: cells, channels and image channels must be at least 1 and classes at least 2");
  const int64_t unit = imagenet_stem ? 32 : 4;
  MIXOP_CHECK(height >= unit && width >= unit && height % unit == 0 && width % unit == 0, "network: images of ",
              height, "x", width, " pixels: height and width must be divisible by ", unit,
              "; pad or resize the images");
}

namespace {

class Builder {
 public:
  Builder(Graph& g, Stores& stores, const NetworkOptions& o, bool training)
      : g_(g),
        stores_(stores),
        o_(o),
        training_(training),
        layers_{g, stores.weights, &stores.state, training, true} {}

  NetworkOutputs build(Value images) {
    NetworkOutputs out;
    Value s0, s1;
    bool previous_reduced = false;
    if (o_.imagenet_stem) {
      std::tie(s0, s1) = imagenet_stem(images);
      previous_reduced = true;
    } else {
      s0 = s1 = cifar_stem(layers_, images, 3 * o_.channels);
    }
    out.stem = s1;
    int64_t channels = o_.channels;
    for (int i = 0; i < o_.cells; ++i) {
      const bool reduction = i == o_.cells / 3 || i == 2 * o_.cells / 3;
      if (reduction) channels *= 2;
      const Value s = cell(i, reduction ? o_.genotype.reduce : o_.genotype.normal, channels, reduction,
                           previous_reduced, s0, s1);
      s0 = s1;
      s1 = s;
      previous_reduced = reduction;
      out.cells.push_back(s);
      if (o_.auxiliary && training_ && i == 2 * o_.cells / 3) out.auxiliary = auxiliary_head(s);
    }
    out.pooled = autograd::global_avg_pool(g_, s1);
    out.logits = layers_.linear(out.pooled, "classifier", o_.classes);
    return out;
  }

 private:
  std::pair<Value, Value> imagenet_stem(Value images) {
    const Graph::Scope scope(g_, "stem");
    Value x = layers_.batch_norm(layers_.conv(images, "conv0.w", o_.channels / 2, 3, 2, 1), "bn0");
    const Value s0 =
        layers_.batch_norm(layers_.conv(autograd::relu(g_, x), "conv1.w", o_.channels, 3, 2, 1), "bn1");
    const Value s1 =
        layers_.batch_norm(layers_.conv(autograd::relu(g_, s0), "conv2.w", o_.channels, 3, 2, 1), "bn2");
    return {s0, s1};
  }

  Value cell(int index, const CellGenotype& genotype, int64_t channels, bool reduction, bool previous_reduced,
             Value s0, Value s1) {
    const Graph::Scope scope(g_, "cells." + std::to_string(index));
    keep_ = {};
    std::vector<Value> states;
    {
      const Graph::Scope pre(g_, "pre0");
      states.push_back(previous_reduced ? layers_.factorized_reduce(s0, channels)
                                        : layers_.relu_conv_bn(s0, channels));
    }
    {
      const Graph::Scope pre(g_, "pre1");
      states.push_back(layers_.relu_conv_bn(s1, channels));
    }
    Pooled pooled;
    for (int n = 0; n < genotype.nodes(); ++n) {
      std::vector<Value> incoming;
      for (int e = 2 * n; e < 2 * n + 2; ++e) {
        const Edge& edge = genotype.edges[e];
        const int stride = reduction && edge.input < 2 ? 2 : 1;
        if (const Value y = path(edge, index, e, states[edge.input], stride, pooled)) incoming.push_back(y);
      }
      if (incoming.empty()) {  // FairDARTS may leave a node without edges
        const kernels::Shape& x = g_.shape(states[0]);
        const int64_t shrink = reduction ? 2 : 1;
        incoming.push_back(autograd::zeros(g_, {x[0], x[1] / shrink, x[2] / shrink, channels}));
      }
      states.push_back(incoming.size() == 1 ? incoming[0] : autograd::sum(g_, incoming));
    }
    std::vector<Value> parts;
    for (const int i : genotype.concat) parts.push_back(states[i]);
    return autograd::concat(g_, parts, 3);
  }

  /// Poolings of a cell's states: several edges may ask for one, which has no weights.
  using Pooled = std::map<std::tuple<Value, CellOp, int>, Value>;

  Value operation(CellOp op, Value x, int stride, Pooled& pooled) {
    if (op != CellOp::max_pool_3x3 && op != CellOp::avg_pool_3x3) return layers_.operation(op, x, stride, false);
    Value& y = pooled[{x, op, stride}];
    if (!y) y = layers_.operation(op, x, stride, false);
    return y;
  }

  /// One operation with its drop-path mask; identities are never dropped.
  Value path(const Edge& edge, int cell, int index, Value x, int stride, Pooled& pooled) {
    const Graph::Scope scope(g_, "edge." + std::to_string(index));
    const Value y = operation(edge.op, x, stride, pooled);
    if (!y || !o_.drop_path || !training_ || (edge.op == CellOp::skip_connect && stride == 1)) return y;
    const Value counter = g_.tensor(stores_.state, "counter", {1});
    if (!keep_)
      keep_ = o_.schedule.steps ? scheduled_keep(g_, counter, o_.schedule, cell, o_.cells)
                                : g_.tensor(stores_.state, "drop_path.keep", {1}, Init::constant(1));
    return autograd::drop_path(g_, y, keep_, o_.seed, static_cast<uint64_t>(masks_++), counter);
  }

  /// relu, average pool 5x5 to 2x2, conv 1x1 to 128, bn, relu, conv 2x2 to 768, bn, relu, linear. On 7x7 maps the
  /// second batch norm is omitted, as in the ImageNet networks.
  Value auxiliary_head(Value x) {
    const Graph::Scope scope(g_, "auxiliary");
    const kernels::Shape s = g_.shape(x);
    MIXOP_CHECK(s[1] >= 6 && s[2] >= 6, "auxiliary head: the map after cell ", 2 * o_.cells / 3, " has ", s[1], "x",
                s[2], " pixels, at least 6x6 are needed: train without --auxiliary");
    const kernels::PoolAttrs pool{
        .kernel = {5, 5}, .stride = {static_cast<int>(s[1]) - 5, static_cast<int>(s[2]) - 5}, .pad = {0, 0}};
    Value y = autograd::avg_pool(g_, autograd::relu(g_, x), pool);
    y = autograd::relu(g_, layers_.batch_norm(layers_.conv(y, "conv1.w", 128, 1), "bn1"));
    y = layers_.conv(y, "conv2.w", 768, 2);
    if (s[1] != 7) y = layers_.batch_norm(y, "bn2");
    y = autograd::reshape(g_, autograd::relu(g_, y), {s[0], 768});
    return layers_.linear(y, "classifier", o_.classes);
  }

  Graph& g_;
  Stores& stores_;
  const NetworkOptions& o_;
  bool training_;
  Layers layers_;
  int masks_ = 0;
  Value keep_;  // of the cell being built
};

}  // namespace

Value scheduled_keep(Graph& g, Value counter, const NetworkOptions::Schedule& schedule, int cell, int cells) {
  const double at_step = schedule.drop * (cell + 1) / cells / static_cast<double>(schedule.steps);
  const Value dropped = autograd::mul(g, counter, autograd::constant(g, {1}, at_step));
  return autograd::sub(g, autograd::constant(g, {1}, 1), dropped);
}

NetworkSize measure_network(const NetworkBuilder& build, int64_t h, int64_t w, int64_t c) {
  Stores stores(kernels::DType::kF32, 0);
  Graph g;
  build(g, g.input("images", {1, h, w, c}), stores, true);
  NetworkSize size;
  for (const auto& e : stores.weights.entries())
    (e.name.rfind("auxiliary.", 0) == 0 ? size.auxiliary_parameters : size.parameters) += e.shape.elements();
  for (int i = 0; i < g.size(); ++i) {
    const autograd::Node& n = g.node(i);
    if (n.op && n.op->macs && n.name.rfind("auxiliary", 0) != 0) size.macs += n.op->macs(g, n);
  }
  return size;
}

NetworkOutputs build_network(Graph& g, Value images, Stores& stores, const NetworkOptions& options, bool training) {
  options.check();
  return Builder(g, stores, options, training).build(images);
}

NetworkSize measure_network(const NetworkOptions& o) {
  return measure_network(
      [&](Graph& g, Value x, Stores& stores, bool training) { return build_network(g, x, stores, o, training); },
      o.height, o.width, o.image_channels);
}

NetworkSize measure_supernet(const SupernetOptions& o) {
  return measure_network(
      [&](Graph& g, Value x, Stores& stores, bool training) { return build_supernet(g, x, stores, o, training); },
      o.height, o.width, o.image_channels);
}

NetworkSize measure_arch(const Space& space, const Arch& arch, const NetworkScale& o) {
  return measure_network([&](Graph& g, Value x, Stores& stores,
                             bool training) { return space.build(g, x, stores, arch, o, training); },
                         o.height, o.width, o.image_channels);
}

}  // namespace mixop::nas
