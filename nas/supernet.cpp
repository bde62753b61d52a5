#include "nas/supernet.h"

#include <algorithm>

#include "autograd/ops/concat.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/softmax.h"

namespace mixop::nas {

using autograd::Init;

std::vector<int> SupernetOptions::reductions() const {
  if (!reduction_cells.empty()) return reduction_cells;
  return {cells / 3, 2 * cells / 3};
}

void SupernetOptions::check() const {
  MIXOP_CHECK(cells >= 1 && nodes >= 1 && channels >= 1 && classes >= 2 && image_channels >= 1,
              "supernet: cells, nodes, channels and image channels must be at least 1 and classes at least 2");
  MIXOP_CHECK(multiplier >= 1 && multiplier <= nodes, "supernet: multiplier ", multiplier, " is not in 1..", nodes);
  MIXOP_CHECK(height >= 4 && width >= 4 && height % 4 == 0 && width % 4 == 0, "supernet: images of ", height, "x",
              width, " pixels: height and width must be divisible by 4; pad or resize the images");
  MIXOP_CHECK(!operations.empty(), "supernet: no candidate operations");
}

Value cifar_stem(Layers& layers, Value images, int64_t channels) {
  const Graph::Scope scope(layers.g, "stem");
  return layers.batch_norm(layers.conv(images, "conv.w", channels, 3, 1, 1), "bn", true);
}

namespace {

/// One searched cell: every node mixes the candidates of all its incoming edges.
class SearchCell {
 public:
  SearchCell(Layers& layers, const SupernetOptions& options, int64_t channels, bool reduction, Value mixing)
      : layers_(layers), options_(options), channels_(channels), reduction_(reduction), mixing_(mixing) {}

  Value build(Value s0, Value s1, bool previous_reduced) {
    std::vector<Value> states = {preprocess(s0, "pre0", previous_reduced), preprocess(s1, "pre1", false)};
    int edge = 0;
    for (int n = 0; n < options_.nodes; ++n) {
      std::vector<std::pair<int64_t, Value>> terms;
      for (int j = 0; j < n + 2; ++j, ++edge) add_edge(terms, edge, states[j], reduction_ && j < 2 ? 2 : 1);
      const Graph::Scope scope(layers_.g, "node." + std::to_string(n));
      states.push_back(autograd::mix(layers_.g, mixing_, terms));
    }
    return autograd::concat(layers_.g, {states.end() - options_.multiplier, states.end()}, 3);
  }

 private:
  Value preprocess(Value s, const char* name, bool reduce) {
    const Graph::Scope scope(layers_.g, name);
    return reduce ? layers_.factorized_reduce(s, channels_) : layers_.relu_conv_bn(s, channels_);
  }

  void add_edge(std::vector<std::pair<int64_t, Value>>& terms, int edge, Value x, int stride) {
    const Graph::Scope scope(layers_.g, "edge." + std::to_string(edge));
    const auto columns = static_cast<int64_t>(options_.operations.size());
    for (int64_t k = 0; k < columns; ++k)
      if (const Value y = layers_.operation(options_.operations[k], x, stride, true))
        terms.push_back({edge * columns + k, y});
  }

  Layers& layers_;
  const SupernetOptions& options_;
  int64_t channels_;
  bool reduction_;
  Value mixing_;
};

}  // namespace

NetworkOutputs build_supernet(Graph& g, Value images, Stores& stores, const SupernetOptions& o, bool training) {
  o.check();
  Layers layers{g, stores.weights, &stores.state, training, false};
  const kernels::Shape table{o.edges(), static_cast<int64_t>(o.operations.size())};
  const Init init = Init::normal(1e-3);
  const Value normal = autograd::softmax(g, g.tensor(stores.alphas, "alphas_normal", table, init));
  const Value reduce = autograd::softmax(g, g.tensor(stores.alphas, "alphas_reduce", table, init));

  NetworkOutputs out;
  out.stem = cifar_stem(layers, images, o.stem_multiplier * o.channels);
  Value s0 = out.stem, s1 = out.stem;
  int64_t channels = o.channels;
  bool previous_reduced = false;
  const std::vector<int> reductions = o.reductions();
  for (int i = 0; i < o.cells; ++i) {
    const bool reduction = std::find(reductions.begin(), reductions.end(), i) != reductions.end();
    if (reduction) channels *= 2;
    const Graph::Scope scope(g, "cells." + std::to_string(i));
    const Value s =
        SearchCell(layers, o, channels, reduction, reduction ? reduce : normal).build(s0, s1, previous_reduced);
    s0 = s1;
    s1 = s;
    previous_reduced = reduction;
    out.cells.push_back(s);
  }
  out.pooled = autograd::global_avg_pool(g, s1);
  out.logits = layers.linear(out.pooled, "classifier", o.classes);
  return out;
}

}  // namespace mixop::nas
