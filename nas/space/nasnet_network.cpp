// Networks of NASNet cells (Zoph et al. 2018, figure 2): a stem, `cells` normal cells, a reduction cell that
// doubles the channels, normal cells, a reduction cell, normal cells. Cell inputs are brought to the cell's
// channels by 1x1 convolutions, as are concatenated pairs; ops are relu, convolution, batch norm.
#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"
#include "kernels/core/check.h"
#include "nas/space/nasnet.h"
#include "nas/supernet.h"

namespace mixop::nas {
namespace {

class Builder {
 public:
  Builder(Graph& g, Stores& stores, const NasnetSpace& space, const Arch& arch, bool training)
      : g_(g), layers_{g, stores.weights, &stores.state, training, true}, space_(space), arch_(arch) {}

  NetworkOutputs build(Value images, const NetworkScale& scale) {
    NetworkOutputs out;
    out.stem = cifar_stem(layers_, images, 3 * scale.channels);
    Value previous = out.stem, current = out.stem;
    int64_t channels = scale.channels;
    const int total = 3 * scale.cells + 2;
    for (int i = 0; i < total; ++i) {
      const bool reduction = i == scale.cells || i == 2 * scale.cells + 1;
      if (reduction) channels *= 2;
      const Graph::Scope scope(g_, kernels::text("cells.", i));
      const Value next = cell(previous, current, channels, reduction);
      previous = current;
      current = next;
      out.cells.push_back(next);
    }
    out.pooled = autograd::global_avg_pool(g_, autograd::relu(g_, current));
    out.logits = layers_.linear(out.pooled, "classifier", scale.classes);
    return out;
  }

 private:
  Value cell(Value previous, Value current, int64_t channels, bool reduction) {
    std::vector<Value> states;
    for (const Value input : {previous, current}) {
      const Graph::Scope scope(g_, kernels::text("pre", states.size()));
      // The cell before last may have twice the resolution.
      const bool larger = g_.shape(input)[1] > g_.shape(current)[1];
      states.push_back(larger ? layers_.factorized_reduce(input, channels) : layers_.relu_conv_bn(input, channels));
    }
    std::vector<bool> used(states.size());
    for (int b = 0; b < space_.options().blocks; ++b) {
      const Graph::Scope scope(g_, kernels::text("block.", b));
      const NasnetSpace::Block block = space_.block(arch_, reduction, b);
      std::vector<Value> results;
      for (const NasnetSpace::Element& e : {block.first, block.second}) {
        const Graph::Scope element(g_, results.empty() ? "first" : "second");
        const auto state = static_cast<size_t>(e.state);
        used[state] = true;
        results.push_back(operation(space_.ops()[static_cast<size_t>(e.op)], states[state], channels,
                                    reduction && e.state < 2 ? 2 : 1));
      }
      used.push_back(false);
      states.push_back(block.concat ? layers_.relu_conv_bn(autograd::concat(g_, results, 3), channels)
                                    : autograd::sum(g_, results));
    }
    std::vector<Value> ends;
    for (size_t s = 0; s < states.size(); ++s) {
      if (used[s]) continue;
      const Graph::Scope scope(g_, kernels::text("end.", s));
      ends.push_back(reduction && s < 2 ? layers_.factorized_reduce(states[s], channels) : states[s]);
    }
    return autograd::concat(g_, ends, 3);
  }

  Value operation(std::string_view op, Value x, int64_t channels, int stride) {
    if (op == "identity") return layers_.operation(CellOp::skip_connect, x, stride, false);
    if (op == "conv_1x7_7x1") return layers_.operation(CellOp::conv_7x1_1x7, x, stride, false);
    const Graph::Scope scope(g_, std::string(op));
    if (op == "conv_1x1" || op == "conv_3x3") {
      const int kernel = op == "conv_1x1" ? 1 : 3;
      return layers_.batch_norm(layers_.conv(autograd::relu(g_, x), "w", channels, kernel, stride, kernel / 2));
    }
    if (op == "conv_1x3_3x1") {
      kernels::Conv2dAttrs wide, tall;
      wide.kernel = {1, 3};
      wide.stride = {1, stride};
      wide.pad_begin = wide.pad_end = {0, 1};
      tall.kernel = {3, 1};
      tall.stride = {stride, 1};
      tall.pad_begin = tall.pad_end = {1, 0};
      const Value y = layers_.conv(autograd::relu(g_, x), "w1x3", channels, wide);
      return layers_.batch_norm(layers_.conv(y, "w3x1", channels, tall));
    }
    if (op == "max_pool_5x5" || op == "max_pool_7x7") {
      const int kernel = op == "max_pool_5x5" ? 5 : 7;
      return autograd::max_pool(
          g_, x, {.kernel = {kernel, kernel}, .stride = {stride, stride}, .pad = {kernel / 2, kernel / 2}});
    }
    return layers_.operation(parse_op(op), x, stride, false);
  }

  Graph& g_;
  Layers layers_;
  const NasnetSpace& space_;
  const Arch& arch_;
};

}  // namespace

NetworkOutputs NasnetSpace::build(Graph& g, Value images, Stores& stores, const Arch& arch,
                                  const NetworkScale& scale, bool training) const {
  validate(arch);
  MIXOP_CHECK(scale.height % 4 == 0 && scale.width % 4 == 0, "nasnet: images of ", scale.height, "x", scale.width,
              " pixels: height and width must be divisible by 4; pad or resize the images");
  return Builder(g, stores, *this, arch, training).build(images, scale);
}

}  // namespace mixop::nas
