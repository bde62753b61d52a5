// Networks of hierarchical motifs (Liu et al. 2018): a stem, `cells` cells, a separable convolution of stride 2
// that doubles the channels, cells, another one, cells, a separable convolution. All graphs have constant width: a
// node is the sum of its edges, where the paper concatenates and then projects. Convolutions are followed by batch
// norm and relu.
#include "autograd/ops/binary.h"
#include "autograd/ops/global_pool.h"
#include "kernels/core/check.h"
#include "nas/space/hierarchical.h"
#include "nas/supernet.h"

namespace mixop::nas {
namespace {

constexpr int kStages = 3;

class Builder {
 public:
  Builder(Graph& g, Stores& stores, const Arch& arch, bool training)
      : g_(g), layers_{g, stores.weights, &stores.state, training, true}, arch_(arch) {}

  NetworkOutputs build(Value images, const NetworkScale& scale) {
    NetworkOutputs out;
    int64_t channels = scale.channels;
    {
      const Graph::Scope scope(g_, "stem");
      out.stem = layers_.conv_bn_relu(images, channels, 3);
    }
    Value x = out.stem;
    for (int stage = 0; stage < kStages; ++stage) {
      for (int i = 0; i < scale.cells; ++i) {
        const Graph::Scope scope(g_, kernels::text("stages.", stage, ".cells.", i));
        x = graph(HierarchicalSpace::kMotifs, x);
        MIXOP_CHECK(x, "hierarchical: no path leads from the input of the cell to its output");
        out.cells.push_back(x);
      }
      const bool last = stage == kStages - 1;
      if (!last) channels *= 2;
      const Graph::Scope scope(g_, kernels::text("stages.", stage, ".end"));
      x = separable(x, channels, last ? 1 : 2);
    }
    out.pooled = autograd::global_avg_pool(g_, x);
    out.logits = layers_.linear(out.pooled, "classifier", scale.classes);
    return out;
  }

 private:
  Value separable(Value x, int64_t out, int stride) {
    const int64_t in = g_.shape(x).last();
    const Value y = layers_.conv(x, "dw", in, 3, stride, 1, 1, in);
    return layers_.conv_bn_relu(y, out, 1);
  }

  Value primitive(std::string_view op, Value x) {
    const Graph::Scope scope(g_, std::string(op));
    const int64_t channels = g_.shape(x).last();
    if (op == "conv_1x1") return layers_.conv_bn_relu(x, channels, 1);
    if (op == "depthwise_conv_3x3") return layers_.conv_bn_relu(x, channels, 3, 1, channels);
    if (op == "sep_conv_3x3") return separable(x, channels, 1);
    if (op == "identity") return x;
    return layers_.pool(parse_op(op), x, 1);
  }

  // A motif or, as the last of the graphs, the cell; an empty value where no path leads through.
  Value graph(int number, Value input) {
    const bool cell = number == HierarchicalSpace::kMotifs;
    const int size = cell ? HierarchicalSpace::kCellNodes : HierarchicalSpace::kMotifNodes;
    std::vector<Value> nodes{input};
    size_t at = static_cast<size_t>(number) * HierarchicalSpace::kMotifEdges;
    for (int to = 1; to < size; ++to) {
      std::vector<Value> incoming;
      for (int from = 0; from < to; ++from, ++at) {
        const Value x = nodes[static_cast<size_t>(from)];
        if (!x || arch_[at] == 0) continue;
        const Graph::Scope scope(g_, kernels::text("edge.", from, "-", to));
        const Value y = cell ? graph(arch_[at] - 1, x)
                             : primitive(HierarchicalSpace::kPrimitives[static_cast<size_t>(arch_[at]) - 1], x);
        if (y) incoming.push_back(y);
      }
      nodes.push_back(incoming.empty() ? Value{} : autograd::sum(g_, incoming));
    }
    return nodes.back();
  }

  Graph& g_;
  Layers layers_;
  const Arch& arch_;
};

}  // namespace

NetworkOutputs HierarchicalSpace::build(Graph& g, Value images, Stores& stores, const Arch& arch,
                                        const NetworkScale& scale, bool training) const {
  validate(arch);
  return Builder(g, stores, arch, training).build(images, scale);
}

}  // namespace mixop::nas
