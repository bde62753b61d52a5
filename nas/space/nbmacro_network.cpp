// The network of NAS-Bench-Macro (Su et al. 2021; 32 channels in the stem there, 1280 = 40 times as many in the
// head).
#include "autograd/ops/binary.h"
#include "autograd/ops/global_pool.h"
#include "kernels/core/check.h"
#include "nas/space/nbmacro.h"
#include "nas/supernet.h"

namespace mixop::nas {
namespace {

// MobileNetV2's block with relu: 1x1 to expansion times the channels, depthwise, 1x1 without relu.
Value bottleneck(Layers& layers, Value x, int64_t out, int kernel, int64_t expansion, int stride) {
  Graph& g = layers.g;
  const int64_t in = g.shape(x).last(), wide = expansion * in;
  Value y = x;
  {
    const Graph::Scope scope(g, "expand");
    y = layers.conv_bn_relu(y, wide, 1);
  }
  {
    const Graph::Scope scope(g, "depthwise");
    y = layers.conv_bn_relu(y, wide, kernel, stride, wide);
  }
  const Graph::Scope scope(g, "project");
  y = layers.batch_norm(layers.conv(y, "w", out, 1));
  return stride == 1 && in == out ? autograd::add(g, y, x) : y;
}

Value layer(Layers& layers, int32_t op, Value x, int64_t out, int stride) {
  if (op == 1) return bottleneck(layers, x, out, 3, 3, stride);
  if (op == 2) return bottleneck(layers, x, out, 5, 6, stride);
  return stride == 1 ? x : layers.batch_norm(layers.conv(x, "w", out, 1, stride));
}

}  // namespace

NetworkOutputs NbMacroSpace::build(Graph& g, Value images, Stores& stores, const Arch& arch,
                                   const NetworkScale& scale, bool training) const {
  validate(arch);
  Layers layers{g, stores.weights, &stores.state, training, true};
  NetworkOutputs out;
  {
    const Graph::Scope scope(g, "stem");
    out.stem = layers.conv_bn_relu(images, scale.channels, 3);
  }
  Value x = out.stem;
  int64_t channels = scale.channels;
  for (const int layers_of_stage : kStages) {
    channels *= 2;
    for (int i = 0; i < layers_of_stage; ++i) {
      const size_t number = out.cells.size();
      const Graph::Scope scope(g, kernels::text("layers.", number));
      x = layer(layers, arch[number], x, channels, i == 0 ? 2 : 1);
      out.cells.push_back(x);
    }
  }
  const Graph::Scope scope(g, "head");
  x = layers.conv_bn_relu(x, 40 * scale.channels, 1);
  out.pooled = autograd::global_avg_pool(g, x);
  out.logits = layers.linear(out.pooled, "classifier", scale.classes);
  return out;
}

}  // namespace mixop::nas
