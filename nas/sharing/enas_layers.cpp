#include "nas/sharing/enas_layers.h"

#include <cmath>

#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"

namespace mixop::nas {
namespace {

Value linear_without_bias(Layers& layers, Value x, int64_t out) {
  const int64_t in = layers.g.shape(x).last();
  const auto init = autograd::Init::uniform(1 / std::sqrt(static_cast<double>(in)));
  return autograd::linear(layers.g, x,
                          layers.g.tensor(layers.weights, layers.path("classifier.w"), {out, in}, init));
}

}  // namespace

Value add_up(Graph& g, const std::vector<Value>& terms) {
  std::vector<std::pair<int64_t, Value>> weighted;
  for (const Value term : terms) weighted.push_back({0, term});
  return autograd::mix(g, autograd::constant(g, {1}, 1), weighted);
}

Value enas_calibrate(Layers& layers, Value x, const char* name, const kernels::Shape& like, int64_t channels) {
  const kernels::Shape s = layers.g.shape(x);
  const Graph::Scope scope(layers.g, name);
  if (s[1] != like[1]) return layers.factorized_reduce(x, channels);
  return s.last() == channels ? x : layers.relu_conv_bn(x, channels);
}

Value enas_classifier(Layers& layers, Value x, TensorStore& state, const EnasHead& head, bool dropout) {
  if (dropout && head.keep < 1)
    x = autograd::dropout(layers.g, x, head.keep, head.seed, head.stream, layers.g.tensor(state, "counter", {1}));
  return linear_without_bias(layers, x, head.classes);
}

Value enas_auxiliary_head(Layers& layers, Value x, int64_t classes) {
  Graph& g = layers.g;
  const Graph::Scope scope(g, "auxiliary");
  const kernels::Shape s = g.shape(x);
  MIXOP_CHECK(s[1] >= 6 && s[2] >= 6, "enas: the auxiliary head reads a map of ", s[1], "x", s[2],
              " pixels, at least 6x6 are needed: leave it out or use larger images");
  const kernels::PoolAttrs pool{
      .kernel = {5, 5}, .stride = {static_cast<int>(s[1]) - 5, static_cast<int>(s[2]) - 5}, .pad = {0, 0}};
  Value y = autograd::avg_pool(g, autograd::relu(g, x), pool);
  y = autograd::relu(g, layers.batch_norm(layers.conv(y, "conv1.w", 128, 1), "bn1"));
  y = autograd::relu(g, layers.batch_norm(layers.conv(y, "conv2.w", 768, 2), "bn2"));
  return linear_without_bias(layers, autograd::reshape(g, y, {s[0], 768}), classes);
}

}  // namespace mixop::nas
