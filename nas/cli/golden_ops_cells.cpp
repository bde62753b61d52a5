// Golden operations of the DARTS cells, built by the same code as the supernet wherever that has them.
#include <regex>

#include "autograd/ops/copy.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"
#include "nas/cli/golden_ops.h"

namespace mixop::cli {
namespace {

using autograd::Value;
using kernels::Conv2dAttrs;
using kernels::Shape;

int square_stride(Program& p) {
  const auto stride = p.pair("stride", {1, 1});
  if (stride[0] != stride[1]) throw NotCovered(p.op() + " with different strides in height and width");
  return stride[0];
}

int64_t outputs_of(Program& p, const std::string& weight) { return p.extents(weight)[0]; }

/// What `none` makes of x.
Value nothing(Program& p, Value x, std::array<int, 2> stride) {
  Shape s = p.g.shape(x);
  MIXOP_CHECK(s.rank() == 4 && stride[0] > 0 && stride[1] > 0, p.op(),
              ": x must have 4 axes, the stride be positive");
  for (int axis = 0; axis < 2; ++axis) s[1 + axis] = (s[1 + axis] + stride[axis] - 1) / stride[axis];
  return autograd::zeros(p.g, s);
}

void none(Program& p) {
  p.ignore("C");
  p.output(nothing(p, p.input("x", Layout::kImage), p.pair("stride", {1, 1})), Layout::kImage);
}

void relu_conv_bn(Program& p) {
  const Value x = p.input("x", Layout::kImage);
  const Extents& w = p.extents("w");
  MIXOP_CHECK(w.size() == 4, "relu_conv_bn: w must have 4 axes");
  Conv2dAttrs a;
  a.kernel = {static_cast<int>(w[2]), static_cast<int>(w[3])};
  p.ignore("kernel");
  a.stride = p.pair("stride", {1, 1});
  a.pad_begin = a.pad_end = p.pair("padding", {0, 0});
  a.dilation = p.pair("dilation", {1, 1});
  a.groups = p.integer("groups", 1);
  p.ignore("C");
  nas::Layers layers = p.layers();
  p.output(layers.batch_norm(layers.conv(autograd::relu(p.g, x), "w", w[0], a)), Layout::kImage);
}

void factorized_reduce(Program& p) {
  p.ignore("C");
  p.output(p.layers().factorized_reduce(p.input("x", Layout::kImage), 2 * outputs_of(p, "w1")), Layout::kImage);
}

/// Table of softmaxed alphas, and the place of its row `edge`.
std::pair<Value, int64_t> mixing(Program& p, size_t operations) {
  const Value alpha = p.input("alpha");
  const Shape s = p.g.shape(alpha);
  MIXOP_CHECK(s.last() == static_cast<int64_t>(operations), "alpha has ", s.last(), " columns for ", operations,
              " operations");
  const int edge = p.integer("edge", 0);
  MIXOP_CHECK(edge >= 0 && edge < s.rows(), "parameter 'edge' = ", edge, ": alpha has ", s.rows(), " rows");
  return {autograd::softmax(p.g, alpha), edge * s.last()};
}

void mixed_sum(Program& p) {
  const std::vector<Value> xs = p.numbered_inputs(Layout::kImage);
  MIXOP_CHECK(p.integer("ops", static_cast<int>(xs.size())) == static_cast<int>(xs.size()),
              "parameter 'ops' is not ", xs.size(), ", the number of inputs x0, x1, ...");
  const auto [table, row] = mixing(p, xs.size());
  std::vector<std::pair<int64_t, Value>> terms;
  for (size_t k = 0; k < xs.size(); ++k) terms.push_back({row + static_cast<int64_t>(k), xs[k]});
  p.output(autograd::mix(p.g, table, terms), Layout::kImage);
}

nas::CellOp primitive(const std::string& name) {
  try {
    return nas::parse_op(name);
  } catch (const Error&) {
    throw NotCovered("primitive '" + name + "'");
  }
}

void mixed_op(Program& p) {
  const Value x = p.input("x", Layout::kImage);
  const std::vector<std::string> names = p.texts("primitives");
  const int stride = square_stride(p);
  p.ignore("C");
  const auto [table, row] = mixing(p, names.size());
  nas::Layers layers = p.layers();
  std::vector<std::pair<int64_t, Value>> terms;
  for (size_t k = 0; k < names.size(); ++k)
    if (const Value y = layers.operation(primitive(names[k]), x, stride, true))
      terms.push_back({row + static_cast<int64_t>(k), y});
  p.output(terms.empty() ? nothing(p, x, {stride, stride}) : autograd::mix(p.g, table, terms), Layout::kImage);
}

/// relu, depthwise KxK, pointwise to `out` channels, batch norm.
Value depthwise_block(Program& p, Value x, const std::string& suffix, const Conv2dAttrs& depthwise, int64_t out) {
  nas::Layers layers = p.layers();
  Conv2dAttrs a = depthwise;
  a.groups = p.g.shape(x).last();
  x = layers.conv(autograd::relu(p.g, x), "dw" + suffix, a.groups, a);
  return layers.batch_norm(layers.conv(x, "pw" + suffix, out, 1), "bn" + suffix);
}

/// The general form: any stride, padding and dilation, another number of channels at the end.
Value general_kxk(Program& p, Value x, bool separable, Conv2dAttrs a) {
  if (!separable) return depthwise_block(p, x, "", a, outputs_of(p, "pw"));
  x = depthwise_block(p, x, "1", a, outputs_of(p, "pw1"));
  a.stride = {1, 1};
  return depthwise_block(p, x, "2", a, outputs_of(p, "pw2"));
}

constexpr GoldenOp kOps[] = {{"none", none},
                             {"relu_conv_bn", relu_conv_bn},
                             {"factorized_reduce", factorized_reduce},
                             {"mixed_sum", mixed_sum},
                             {"mixed_op", mixed_op}};

}  // namespace

std::span<const GoldenOp> cell_ops() { return kOps; }

bool build_kxk(Program& p) {
  static const std::regex kName("(sep|dil)_conv_([0-9]{1,3})x([0-9]{1,3})");
  std::smatch match;
  if (!std::regex_match(p.op(), match, kName) || match[2] != match[3]) return false;
  const int kernel = std::stoi(match[2]);
  if (kernel % 2 == 0) return false;
  const bool separable = match[1] == "sep";
  const Value x = p.input("x", Layout::kImage);
  p.ignore("C");
  Conv2dAttrs a;
  a.kernel = {kernel, kernel};
  a.stride = p.pair("stride", {1, 1});
  const int spread = separable ? 1 : 2;
  a.dilation = p.pair("dilation", {spread, spread});
  const std::array<int, 2> same = {a.dilation[0] * (kernel / 2), a.dilation[1] * (kernel / 2)};
  a.pad_begin = a.pad_end = p.pair("padding", same);
  const bool as_in_darts = a.stride[0] == a.stride[1] && a.pad_begin == same && a.dilation[0] == spread &&
                           a.dilation[1] == spread &&
                           outputs_of(p, separable ? "pw2" : "pw") == p.g.shape(x).last();
  nas::Layers layers = p.layers();
  const Value y = !as_in_darts ? general_kxk(p, x, separable, a)
                  : separable  ? layers.separable(x, kernel, a.stride[0])
                               : layers.dilated(x, kernel, a.stride[0]);
  p.output(y, Layout::kImage);
  return true;
}

}  // namespace mixop::cli
