#include <algorithm>
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"
#include "nas/space/metaqnn.h"
#include "nas/supernet.h"

namespace mixop::nas {
namespace {

using autograd::Init;

/// Uniform with the half-width of Glorot and Bengio (2010).
Init xavier(int64_t fan_in, int64_t fan_out) {
  return Init::uniform(std::sqrt(6.0 / static_cast<double>(fan_in + fan_out)));
}

Value bias(Graph& g, Stores& stores, Value x) {
  return autograd::add(g, x, g.tensor(stores.weights, g.scope() + ".b", {g.shape(x).last()}));
}

/// Keeps the size of the map.
Value convolution(Graph& g, Stores& stores, Value x, int kernel, int64_t out) {
  const int64_t area = int64_t{kernel} * kernel, in = g.shape(x).last();
  const Value w =
      g.tensor(stores.weights, g.scope() + ".w", {kernel, kernel, in, out}, xavier(area * in, area * out));
  kernels::Conv2dAttrs attrs;
  attrs.kernel = {kernel, kernel};
  attrs.pad_begin = attrs.pad_end = {kernel / 2, kernel / 2};
  return bias(g, stores, autograd::conv2d(g, x, w, attrs));
}

/// Of all elements of an image.
Value fully_connected(Graph& g, Stores& stores, Value x, int64_t out) {
  const int64_t images = g.shape(x)[0], in = g.shape(x).elements() / images;
  if (g.shape(x).rank() != 2) x = autograd::reshape(g, x, {images, in});
  return bias(g, stores,
              autograd::linear(g, x, g.tensor(stores.weights, g.scope() + ".w", {out, in}, xavier(in, out))));
}

Value max_pool(Graph& g, Value x, const MetaQnnSpace::Layer& l) {
  const kernels::Shape& s = g.shape(x);
  MIXOP_CHECK(s[1] >= l.kernel && s[2] >= l.kernel, "metaqnn: a pooling of ", l.kernel, "x", l.kernel,
              " does not fit a map of ", s[1], "x", s[2],
              " pixels: give the space the size of the images, as in metaqnn:size=28");
  return autograd::max_pool(g, x, {.kernel = {l.kernel, l.kernel}, .stride = {l.stride, l.stride}, .pad = {0, 0}});
}

}  // namespace

NetworkOutputs MetaQnnSpace::build(Graph& g, Value images, Stores& stores, const Arch& arch,
                                   const NetworkScale& scale, bool training) const {
  const auto inner = std::count_if(arch.begin(), arch.end(), [](int32_t choice) {
    const Type type = kLayers[static_cast<size_t>(choice)].type;
    return type != Type::kGlobalPool && type != Type::kEnd;
  });
  NetworkOutputs out;
  out.stem = images;
  Value x = images;
  for (size_t i = 0; i < arch.size(); ++i) {
    const Layer& l = kLayers[static_cast<size_t>(arch[i])];
    const Graph::Scope scope(g, "layers." + std::to_string(i));
    if (l.type == Type::kConv) x = autograd::relu(g, convolution(g, stores, x, l.kernel, l.filters));
    if (l.type == Type::kPool) x = max_pool(g, x, l);
    if (l.type == Type::kFull) x = autograd::relu(g, fully_connected(g, stores, x, l.width));
    if (l.type == Type::kGlobalPool)
      out.logits = autograd::global_avg_pool(g, convolution(g, stores, x, 1, scale.classes));
    if (l.type == Type::kEnd && !out.logits) out.logits = fully_connected(g, stores, x, scale.classes);
    if (static_cast<int64_t>(i) >= inner) continue;
    out.cells.push_back(x);
    if (i % 2 == 0 || !training) continue;
    const int64_t mask = static_cast<int64_t>(i + 1) / 2, masks = inner / 2;
    const double keep = 1 - static_cast<double>(mask) / static_cast<double>(2 * masks);
    x = autograd::dropout(g, x, keep, 0, static_cast<uint64_t>(mask), g.tensor(stores.state, "counter", {1}));
  }
  out.pooled = x;
  return out;
}

}  // namespace mixop::nas
