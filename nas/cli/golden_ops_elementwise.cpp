// Golden operations whose result does not depend on what the axes mean.
#include <algorithm>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shuffle.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"
#include "nas/cli/golden_ops.h"

namespace mixop::cli {
namespace {

using autograd::Value;
using kernels::Shape;

int64_t product(const Extents& e, size_t from, size_t to) {
  int64_t n = 1;
  for (size_t i = from; i < to; ++i) n *= e[i];
  return n;
}

bool fits(const Extents& e) { return e.size() <= static_cast<size_t>(kernels::kMaxRank); }

/// A parameter that exists in PyTorch, but that the activation here has fixed.
void fixed(Program& p, const std::string& name, double value) {
  if (p.number(name, value) != value)
    throw NotCovered("parameter '" + name + "' of " + p.op() + " other than its default");
}

void activation(Program& p) {
  fixed(p, "slope", 0.01);
  fixed(p, "negative_slope", 0.01);
  fixed(p, "alpha", 1);
  fixed(p, "beta", 1);
  fixed(p, "threshold", 20);
  if (p.text("approximate", "none") != "none") throw NotCovered("approximate gelu");
  const Extents& e = p.extents("x");
  const Value x = p.input("x", Layout::kPlain, fits(e) ? Shape() : Shape{product(e, 0, e.size())});
  p.output(autograd::activation(p.g, x, p.op()));
}

/// The axis a parameter names, counted from the first; negative ones count from the last.
int axis_of(Program& p, const std::string& input, int otherwise) {
  const int rank = static_cast<int>(p.extents(input).size()), dim = p.integer("dim", otherwise);
  MIXOP_CHECK(dim >= -rank && dim < rank, "parameter 'dim' = ", dim, " is not an axis of '", input, "' of ", rank,
              " axes");
  return dim < 0 ? dim + rank : dim;
}

template <Value (*kSoftmax)(autograd::Graph&, Value, int)>
void softmax(Program& p) {
  const Extents& e = p.extents("x");
  int axis = axis_of(p, "x", -1);
  Shape as;
  if (!fits(e)) {  // the axes before and after it act as one
    const auto at = static_cast<size_t>(axis);
    as = {product(e, 0, at), e[at], product(e, at + 1, e.size())};
    axis = 1;
  }
  p.output(kSoftmax(p.g, p.input("x", Layout::kPlain, as), axis));
}

void multiply_add(Program& p) {
  const Value a = p.input("a"), b = p.input("b");
  p.output(autograd::add(p.g, autograd::mul(p.g, a, b), p.input("d")));
}

void reductions(Program& p) {
  const Value x = p.input("x");
  p.output("y", autograd::reduce_sum(p.g, x, {1}));
  p.output("mean", autograd::reduce_mean(p.g, x));
  p.output("amax", autograd::reduce_max(p.g, x, {-1}));
}

/// x0, x1, ... along `dim`; of image shape the channels go last, where joining them is free.
void concat(Program& p) {
  const int axis = axis_of(p, "x0", 0), rank = static_cast<int>(p.extents("x0").size());
  const std::vector<Value> parts = p.numbered_inputs(Layout::kImage);
  const int moved = rank < 3 || axis == 0 ? axis : axis == 1 ? rank - 1 : axis - 1;
  p.output(autograd::concat(p.g, parts, moved), Layout::kImage);
}

void channel_shuffle(Program& p) {
  const int groups = p.integer("groups", 1);
  p.output(autograd::channel_shuffle(p.g, p.input("x", Layout::kImage), groups), Layout::kImage);
}

/// x / keep * mask; a mask of any other shape than apply_mask takes is multiplied with broadcasting.
Value masked(Program& p, double keep) {
  const Value x = p.input("x", Layout::kImage), mask = p.input("mask", Layout::kImage);
  const Shape xs = p.g.shape(x), ms = p.g.shape(mask);
  if (ms == xs || ms.elements() == xs[0]) return autograd::apply_mask(p.g, x, mask, keep);
  MIXOP_CHECK(keep > 0, "nothing is kept: give a mask of one number a sample or of the shape of x");
  return autograd::mul(p.g, autograd::mul(p.g, x, mask), autograd::constant(p.g, {1}, 1 / keep));
}

void dropout(Program& p) { p.output(masked(p, 1 - p.number("p", 0.5)), Layout::kImage); }
void drop_path(Program& p) { p.output(masked(p, p.number("keep_prob", 1)), Layout::kImage); }
void drop_path_skip(Program& p) {
  const Value y = masked(p, p.number("keep_prob", 1));
  p.output(autograd::add(p.g, p.input("skip", Layout::kImage), y), Layout::kImage);
}

constexpr GoldenOp kOps[] = {{"identity", activation},
                             {"relu", activation},
                             {"sigmoid", activation},
                             {"tanh", activation},
                             {"gelu", activation},
                             {"silu", activation},
                             {"swish", activation},
                             {"relu6", activation},
                             {"hardswish", activation},
                             {"hardsigmoid", activation},
                             {"leaky_relu", activation},
                             {"elu", activation},
                             {"softplus", activation},
                             {"softmax", softmax<autograd::softmax>},
                             {"log_softmax", softmax<autograd::log_softmax>},
                             {"a*b+d", multiply_add},
                             {"reductions", reductions},
                             {"concat", concat},
                             {"channel_shuffle", channel_shuffle},
                             {"dropout", dropout},
                             {"drop_path", drop_path},
                             {"drop_path_skip", drop_path_skip}};

}  // namespace

std::span<const GoldenOp> elementwise_ops() { return kOps; }

}  // namespace mixop::cli
