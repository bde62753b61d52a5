// The network of NAS-Bench-201 (Dong and Yang 2020): a stem, three stages of equal cells, a residual block of
// stride 2 between stages that doubles the channels.
#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"
#include "kernels/core/check.h"
#include "nas/space/nb201.h"
#include "nas/supernet.h"

namespace mixop::nas {
namespace {

constexpr int kStages = 3;

class Builder {
 public:
  Builder(Graph& g, Stores& stores, bool training)
      : g_(g), layers_{g, stores.weights, &stores.state, training, true} {}

  NetworkOutputs build(Value images, const Arch& arch, const NetworkScale& scale) {
    NetworkOutputs out;
    out.stem = cifar_stem(layers_, images, scale.channels);
    Value x = out.stem;
    for (int stage = 0; stage < kStages; ++stage) {
      if (stage > 0) x = reduction(x, stage);
      for (int cell = 0; cell < scale.cells; ++cell) {
        const Graph::Scope scope(g_, kernels::text("stages.", stage, ".cells.", cell));
        x = this->cell(x, arch);
        out.cells.push_back(x);
      }
    }
    out.pooled = autograd::global_avg_pool(g_, autograd::relu(g_, layers_.batch_norm(x, "last")));
    out.logits = layers_.linear(out.pooled, "classifier", scale.classes);
    return out;
  }

 private:
  Value relu_conv_bn(Value x, int64_t out, int kernel, int stride = 1) {
    return layers_.batch_norm(layers_.conv(autograd::relu(g_, x), "w", out, kernel, stride, kernel / 2));
  }

  // Depends on x, as a plan must on its images even where no path leads from them to the logits.
  Value zeros(Value x) { return autograd::mul(g_, x, autograd::constant(g_, {1}, 0)); }

  // A node that only zeros enter is an empty value; a convolution still makes its bias of it.
  Value operation(int32_t op, Value x, Value input) {
    const Graph::Scope scope(g_, std::string(Nb201Space::kOps[static_cast<size_t>(op)]));
    const auto present = [&] { return x ? x : zeros(input); };
    const int64_t channels = g_.shape(input).last();
    switch (op) {
      case 1:
        return x;
      case 2:
        return relu_conv_bn(present(), channels, 1);
      case 3:
        return relu_conv_bn(present(), channels, 3);
      case 4:
        return x ? layers_.pool(CellOp::avg_pool_3x3, x, 1) : x;
      default:
        return {};
    }
  }

  Value cell(Value x, const Arch& arch) {
    std::array<std::vector<Value>, 4> incoming;
    std::array<Value, 4> nodes{x};
    for (size_t e = 0; e < arch.size(); ++e) {
      const Nb201Space::NodePair pair = Nb201Space::kEdges[e];
      const auto to = static_cast<size_t>(pair.to);
      const Graph::Scope scope(g_, kernels::text("edge.", e));
      if (const Value y = operation(arch[e], nodes[static_cast<size_t>(pair.from)], x)) incoming[to].push_back(y);
      if (pair.from == pair.to - 1 && !incoming[to].empty()) nodes[to] = autograd::sum(g_, incoming[to]);
    }
    return nodes[3] ? nodes[3] : zeros(x);
  }

  Value reduction(Value x, int stage) {
    const Graph::Scope scope(g_, kernels::text("reductions.", stage));
    const int64_t out = 2 * g_.shape(x).last();
    Value y = x;
    for (const int stride : {2, 1}) {
      const Graph::Scope conv(g_, stride == 2 ? "a" : "b");
      y = relu_conv_bn(y, out, 3, stride);
    }
    const Value pooled = autograd::avg_pool(g_, x, {.kernel = {2, 2}, .stride = {2, 2}, .pad = {0, 0}});
    return autograd::add(g_, layers_.conv(pooled, "shortcut.w", out, 1), y);
  }

  Graph& g_;
  Layers layers_;
};

}  // namespace

NetworkOutputs Nb201Space::build(Graph& g, Value images, Stores& stores, const Arch& arch,
                                 const NetworkScale& scale, bool training) const {
  validate(arch);
  MIXOP_CHECK(scale.height % 4 == 0 && scale.width % 4 == 0, "nb201: images of ", scale.height, "x", scale.width,
              " pixels: height and width must be divisible by 4; pad or resize the images");
  return Builder(g, stores, training).build(images, arch, scale);
}

}  // namespace mixop::nas
