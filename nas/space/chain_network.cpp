#include <algorithm>

#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"
#include "nas/space/chain.h"
#include "nas/supernet.h"

namespace mixop::nas {
namespace {

/// Zeros at the end of an axis up to `length`.
Value pad(Graph& g, Value x, int axis, int64_t length) {
  kernels::Shape zeros = g.shape(x);
  if (zeros[axis] == length) return x;
  zeros[axis] = length - zeros[axis];
  return autograd::concat(g, {x, autograd::zeros(g, zeros)}, axis);
}

/// Joined on depth; smaller maps are padded with zeros to the largest (Zoph and Le 2017, section 3.2).
Value join(Graph& g, std::vector<Value> values) {
  int64_t height = 0, width = 0;
  for (const Value v : values) {
    height = std::max(height, g.shape(v)[1]);
    width = std::max(width, g.shape(v)[2]);
  }
  for (Value& v : values) v = pad(g, pad(g, v, 1, height), 2, width);
  return autograd::concat(g, values, 3);
}

Value layer(Layers& layers, Value x, const ChainSpace::Layer& l) {
  Graph& g = layers.g;
  x = layers.batch_norm(layers.conv(x, "w", l.filters, l.kernel, l.stride, l.kernel / 2));
  x = autograd::activation(g, x, ChainSpace::kActivations[static_cast<size_t>(l.activation)]);
  if (l.pooling == 0) return x;
  const kernels::Shape& s = g.shape(x);
  MIXOP_CHECK(s[1] >= 2 && s[2] >= 2, "chain: nothing to pool in a map of ", s[1], "x", s[2],
              " pixels: take larger images, or a space with fewer halvings");
  const kernels::PoolAttrs half{.kernel = {2, 2}, .stride = {2, 2}, .pad = {0, 0}};
  return l.pooling == 1 ? autograd::max_pool(g, x, half) : autograd::avg_pool(g, x, half);
}

}  // namespace

NetworkOutputs ChainSpace::build(Graph& g, Value images, Stores& stores, const Arch& arch,
                                 const NetworkScale& scale, bool training) const {
  Layers parts{g, stores.weights, &stores.state, training, true};
  NetworkOutputs out;
  std::vector<bool> used;
  for (const Layer& l : layers(arch)) {
    std::vector<Value> inputs;
    for (size_t j = 0; j < l.inputs.size(); ++j)
      if (l.inputs[j]) {
        inputs.push_back(out.cells[j]);
        used[j] = true;
      }
    if (inputs.empty()) inputs.push_back(images);
    const Graph::Scope scope(g, "layers." + std::to_string(out.cells.size()));
    out.cells.push_back(layer(parts, join(g, inputs), l));
    used.push_back(false);
  }
  std::vector<Value> ends;
  for (size_t j = 0; j < used.size(); ++j)
    if (!used[j]) ends.push_back(out.cells[j]);
  out.stem = images;
  out.pooled = autograd::global_avg_pool(g, join(g, ends));
  out.logits = parts.linear(out.pooled, "classifier", scale.classes);
  return out;
}

}  // namespace mixop::nas
