#include "autograd/ops/shuffle.h"

namespace mixop::autograd {
namespace {
using kernels::ShuffleAttrs;

std::vector<TensorSpec> shuffle_shape(const Graph& g, const Node& n) {
  const Shape& x = g.shape(n.inputs[0]);
  const int64_t groups = n.attr<ShuffleAttrs>().groups;
  MIXOP_CHECK(groups > 0 && x.last() % groups == 0, "channel_shuffle: ", groups, " groups do not divide the ",
              x.last(), " channels of ", x);
  return {g.spec(n.inputs[0])};
}
void shuffle_rule(GradContext& ctx) {
  if (!ctx.dy() || !ctx.wants(0)) return;
  const int64_t channels = ctx.graph.shape(ctx.in(0)).last();
  ctx.set(0, channel_shuffle(ctx.graph, ctx.dy(), channels / ctx.node().attr<ShuffleAttrs>().groups));
}
}  // namespace

const OpDef kChannelShuffle{.name = "channel_shuffle",
                            .shape = shuffle_shape,
                            .grad = shuffle_rule,
                            .cpu = kernels::channel_shuffle_cpu,
                            .cuda = kernels::channel_shuffle_cuda,
                            .accumulates = first_output};

Value channel_shuffle(Graph& g, Value x, int64_t groups) {
  return g.add(kChannelShuffle, {x}, ShuffleAttrs{groups})[0];
}

}  // namespace mixop::autograd
