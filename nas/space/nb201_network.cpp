// The network of NAS-Bench-201 (Dong and Yang 2020).
#include "nas/space/nb201_network.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"
#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

constexpr int kStages = 3;

Value relu_conv_bn(Layers& layers, Value x, int64_t out, int kernel, int stride = 1) {
  return layers.batch_norm(layers.conv(autograd::relu(layers.g, x), "w", out, kernel, stride, kernel / 2));
}

// Depends on x, as a plan must on its images even where no path leads from them to the logits.
Value zeros_like(Graph& g, Value x) { return autograd::mul(g, x, autograd::constant(g, {1}, 0)); }

Value reduction(Layers& layers, Value x, int stage) {
  Graph& g = layers.g;
  const Graph::Scope scope(g, kernels::text("reductions.", stage));
  const int64_t out = 2 * g.shape(x).last();
  Value y = x;
  for (const int stride : {2, 1}) {
    const Graph::Scope conv(g, stride == 2 ? "a" : "b");
    y = relu_conv_bn(layers, y, out, 3, stride);
  }
  const Value pooled = autograd::avg_pool(g, x, {.kernel = {2, 2}, .stride = {2, 2}, .pad = {0, 0}});
  return autograd::add(g, layers.conv(pooled, "shortcut.w", out, 1), y);
}

// A node that only zeros enter is an empty value; a convolution still makes its bias of it.
Value single_cell(Layers& layers, Value x, const Arch& arch) {
  Graph& g = layers.g;
  std::array<std::vector<Value>, 4> incoming;
  std::array<Value, 4> nodes{x};
  for (size_t e = 0; e < arch.size(); ++e) {
    const Nb201Space::NodePair pair = Nb201Space::kEdges[e];
    const auto to = static_cast<size_t>(pair.to);
    const Value from = nodes[static_cast<size_t>(pair.from)];
    const bool convolution = arch[e] == 2 || arch[e] == 3;
    const Graph::Scope scope(g, kernels::text("edge.", e));
    if (from || convolution) {
      if (const Value y = nb201_operation(layers, arch[e], from ? from : zeros_like(g, x)))
        incoming[to].push_back(y);
    }
    if (pair.from == pair.to - 1 && !incoming[to].empty()) nodes[to] = autograd::sum(g, incoming[to]);
  }
  return nodes[3] ? nodes[3] : zeros_like(g, x);
}

}  // namespace

NetworkOutputs build_nb201(Layers& layers, Value images, const NetworkScale& scale,
                           const std::function<Value(Value x)>& cell) {
  MIXOP_CHECK(scale.height % 4 == 0 && scale.width % 4 == 0, "nb201: images of ", scale.height, "x", scale.width,
              " pixels: height and width must be divisible by 4; pad or resize the images");
  NetworkOutputs out;
  out.stem = cifar_stem(layers, images, scale.channels);
  Value x = out.stem;
  for (int stage = 0; stage < kStages; ++stage) {
    if (stage > 0) x = reduction(layers, x, stage);
    for (int i = 0; i < scale.cells; ++i) {
      const Graph::Scope scope(layers.g, kernels::text("stages.", stage, ".cells.", i));
      x = cell(x);
      out.cells.push_back(x);
    }
  }
  out.pooled = autograd::global_avg_pool(layers.g, autograd::relu(layers.g, layers.batch_norm(x, "last")));
  out.logits = layers.linear(out.pooled, "classifier", scale.classes);
  return out;
}

Value nb201_operation(Layers& layers, int32_t op, Value x) {
  const Graph::Scope scope(layers.g, std::string(Nb201Space::kOps.at(static_cast<size_t>(op))));
  const int64_t channels = layers.g.shape(x).last();
  switch (op) {
    case 1:
      return x;
    case 2:
      return relu_conv_bn(layers, x, channels, 1);
    case 3:
      return relu_conv_bn(layers, x, channels, 3);
    case 4:
      return layers.pool(CellOp::avg_pool_3x3, x, 1);
    default:
      return {};
  }
}

NetworkOutputs Nb201Space::build(Graph& g, Value images, Stores& stores, const Arch& arch,
                                 const NetworkScale& scale, bool training) const {
  validate(arch);
  Layers layers{g, stores.weights, &stores.state, training, true};
  return build_nb201(layers, images, scale, [&](Value x) { return single_cell(layers, x, arch); });
}

}  // namespace mixop::nas
