// The network of NAS-Bench-101 (Ying et al. 2019, section 2.3; 128 channels and 3 cells a stage in the benchmark).
#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/pool.h"
#include "kernels/core/check.h"
#include "nas/space/nb101.h"
#include "nas/supernet.h"

namespace mixop::nas {
namespace {

constexpr int kStages = 3;

// Surplus channels are dropped.
Value truncate(Graph& g, Value x, int64_t channels) {
  return g.shape(x).last() == channels ? x : autograd::slice(g, x, 0, channels);
}

Value operation(Layers& layers, int op, Value x, int64_t channels) {
  if (op == 2) return layers.pool(CellOp::max_pool_3x3, x, 1);
  return layers.conv_bn_relu(x, channels, op == 0 ? 3 : 1);
}

Value cell(Layers& layers, const Nb101Graph& cell, Value input, int64_t out) {
  Graph& g = layers.g;
  const auto channels = nb101_channels(cell, g.shape(input).last(), out);
  const auto project = [&](int to) {
    const Graph::Scope scope(g, kernels::text("project.", to));
    return layers.conv_bn_relu(input, channels[static_cast<size_t>(to)], 1);
  };
  const int last = cell.vertices - 1;
  std::vector<Value> vertices{input}, parts;
  for (int v = 1; v < last; ++v) {
    const int64_t width = channels[static_cast<size_t>(v)];
    std::vector<Value> incoming;
    for (int from = 1; from < v; ++from)
      if (cell.edge(from, v)) incoming.push_back(truncate(g, vertices[static_cast<size_t>(from)], width));
    if (cell.edge(0, v)) incoming.push_back(project(v));
    const Graph::Scope scope(g, kernels::text("vertex.", v));
    vertices.push_back(operation(layers, cell.op[static_cast<size_t>(v)], autograd::sum(g, incoming), width));
    if (cell.edge(v, last)) parts.push_back(vertices.back());
  }
  if (parts.empty()) return project(last);
  const Value joined = autograd::concat(g, parts, 3);
  return cell.edge(0, last) ? autograd::add(g, joined, project(last)) : joined;
}

}  // namespace

NetworkOutputs Nb101Space::build(Graph& g, Value images, Stores& stores, const Arch& arch,
                                 const NetworkScale& scale, bool training) const {
  validate(arch);
  MIXOP_CHECK(scale.height >= 4 && scale.width >= 4, "nb101: images of ", scale.height, "x", scale.width,
              " pixels are halved twice: 4x4 are needed");
  const Nb101Graph graph = nb101_graph(arch);
  Layers layers{g, stores.weights, &stores.state, training, true};
  NetworkOutputs out;
  int64_t channels = scale.channels;
  {
    const Graph::Scope scope(g, "stem");
    out.stem = layers.conv_bn_relu(images, channels, 3);
  }
  Value x = out.stem;
  for (int stage = 0; stage < kStages; ++stage) {
    if (stage > 0) {
      x = autograd::max_pool(g, x, {.kernel = {2, 2}, .stride = {2, 2}, .pad = {0, 0}});
      channels *= 2;
    }
    for (int i = 0; i < scale.cells; ++i) {
      const Graph::Scope scope(g, kernels::text("stages.", stage, ".cells.", i));
      x = cell(layers, graph, x, channels);
      out.cells.push_back(x);
    }
  }
  out.pooled = autograd::global_avg_pool(g, x);
  out.logits = layers.linear(out.pooled, "classifier", scale.classes);
  return out;
}

}  // namespace mixop::nas
