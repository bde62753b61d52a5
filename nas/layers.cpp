#include "nas/layers.h"

#include <cmath>
#include <tuple>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"

namespace mixop::nas {

using autograd::Init;
using kernels::Conv2dAttrs;
using kernels::Shape;

namespace {

Conv2dAttrs square(int kernel, int stride, int padding, int dilation, int64_t groups) {
  Conv2dAttrs a;
  a.kernel = {kernel, kernel};
  a.stride = {stride, stride};
  a.pad_begin = a.pad_end = {padding, padding};
  a.dilation = {dilation, dilation};
  a.groups = groups;
  return a;
}

}  // namespace

Value Layers::conv(Value x, const std::string& name, int64_t out, const Conv2dAttrs& attrs) {
  const int64_t per_group = g.shape(x).last() / attrs.groups;
  const Shape shape{attrs.kernel[0], attrs.kernel[1], per_group, out};
  const double fan_in = static_cast<double>(shape[0] * shape[1] * per_group);
  return autograd::conv2d(g, x, g.tensor(weights, path(name), shape, Init::uniform(1 / std::sqrt(fan_in))), attrs);
}

Value Layers::conv(Value x, const std::string& name, int64_t out, int kernel, int stride, int padding, int dilation,
                   int64_t groups) {
  return conv(x, name, out, square(kernel, stride, padding, dilation, groups));
}

Value Layers::batch_norm(Value x, const std::string& name, bool with_affine) {
  const Shape c{g.shape(x).last()};
  autograd::BatchNorm bn;
  bn.training = training;
  if (with_affine) {
    bn.gamma = g.tensor(weights, path(name + ".gamma"), c, Init::constant(1));
    bn.beta = g.tensor(weights, path(name + ".beta"), c);
  }
  if (state) std::tie(bn.running_mean, bn.running_var) = running_statistics(path(name), c.last());
  return autograd::batch_norm(g, x, bn);
}

Value Layers::shared_batch_norm(Value x, const std::vector<std::string>& paths) {
  MIXOP_CHECK(state && !paths.empty() && (training || paths.size() == 1), "shared batch norm: ", paths.size(),
              " places with ", training ? "batch" : "running", " statistics and ", state ? "a" : "no",
              " store of running statistics");
  autograd::BatchNorm bn;
  bn.training = training;
  for (const std::string& p : paths) bn.more_running.push_back(running_statistics(p, g.shape(x).last()));
  std::tie(bn.running_mean, bn.running_var) = bn.more_running.front();
  bn.more_running.erase(bn.more_running.begin());
  return autograd::batch_norm(g, x, bn);
}

std::pair<Value, Value> Layers::running_statistics(const std::string& path, int64_t channels) {
  const Value mean = g.tensor(*state, path + ".running_mean", {channels});
  return {mean, g.tensor(*state, path + ".running_var", {channels}, Init::constant(1))};
}

Value Layers::linear(Value x, const std::string& name, int64_t out) {
  const int64_t in = g.shape(x).last();
  const Init init = Init::uniform(1 / std::sqrt(static_cast<double>(in)));
  const Value w = g.tensor(weights, path(name + ".w"), {out, in}, init);
  return autograd::add(g, autograd::linear(g, x, w), g.tensor(weights, path(name + ".b"), {out}, init));
}

Value Layers::conv_bn_relu(Value x, int64_t out, int kernel, int stride, int64_t groups) {
  return autograd::relu(g, batch_norm(conv(x, "w", out, kernel, stride, kernel / 2, 1, groups)));
}

Value Layers::relu_conv_bn(Value x, int64_t out) { return batch_norm(conv(autograd::relu(g, x), "w", out, 1)); }

Value Layers::factorized_reduce(Value x, int64_t out) {
  return factorized_reduce_rectified(autograd::relu(g, x), out);
}

Value Layers::factorized_reduce_rectified(Value y, int64_t out) {
  const Shape s = g.shape(y);
  MIXOP_CHECK(s[1] % 2 == 0 && s[2] % 2 == 0 && out % 2 == 0, "factorized reduce: ", s[1], "x", s[2], " pixels to ",
              out, " channels: all must be even");
  Conv2dAttrs odd = square(1, 2, 0, 1, 1);
  odd.pad_begin = {-1, -1};  // the view x[1:, 1:]
  const Value a = conv(y, "w1", out / 2, 1, 2), b = conv(y, "w2", out / 2, odd);
  return batch_norm(autograd::concat(g, {a, b}, 3));
}

Value Layers::separable(Value x, int kernel, int stride) {
  const int64_t c = g.shape(x).last();
  Value y = conv(autograd::relu(g, x), "dw1", c, kernel, stride, kernel / 2, 1, c);
  y = batch_norm(conv(y, "pw1", c, 1), "bn1");
  y = conv(autograd::relu(g, y), "dw2", c, kernel, 1, kernel / 2, 1, c);
  return batch_norm(conv(y, "pw2", c, 1), "bn2");
}

Value Layers::dilated(Value x, int kernel, int stride) {
  const int64_t c = g.shape(x).last();
  const Value y = conv(autograd::relu(g, x), "dw", c, kernel, stride, kernel - 1, 2, c);
  return batch_norm(conv(y, "pw", c, 1));
}

Value Layers::conv_7x1_1x7(Value x, int stride) {
  const int64_t c = g.shape(x).last();
  Conv2dAttrs wide, tall;
  wide.kernel = {1, 7};
  wide.stride = {1, stride};
  wide.pad_begin = wide.pad_end = {0, 3};
  tall.kernel = {7, 1};
  tall.stride = {stride, 1};
  tall.pad_begin = tall.pad_end = {3, 0};
  return batch_norm(conv(conv(autograd::relu(g, x), "w1x7", c, wide), "w7x1", c, tall));
}

Value Layers::pool(CellOp op, Value x, int stride) {
  const kernels::PoolAttrs attrs{.kernel = {3, 3}, .stride = {stride, stride}, .pad = {1, 1}};
  return op == CellOp::max_pool_3x3 ? autograd::max_pool(g, x, attrs) : autograd::avg_pool(g, x, attrs);
}

Value Layers::operation(CellOp op, Value x, int stride, bool pool_norm) {
  const Graph::Scope scope(g, std::string(op_name(op)));
  switch (op) {
    case CellOp::none:
      return {};
    case CellOp::max_pool_3x3:
    case CellOp::avg_pool_3x3: {
      const Value y = pool(op, x, stride);
      return pool_norm ? batch_norm(y, "bn", false) : y;
    }
    case CellOp::skip_connect:
      return stride == 1 ? x : factorized_reduce(x, g.shape(x).last());
    case CellOp::sep_conv_3x3:
      return separable(x, 3, stride);
    case CellOp::sep_conv_5x5:
      return separable(x, 5, stride);
    case CellOp::sep_conv_7x7:
      return separable(x, 7, stride);
    case CellOp::dil_conv_3x3:
      return dilated(x, 3, stride);
    case CellOp::dil_conv_5x5:
      return dilated(x, 5, stride);
    case CellOp::conv_7x1_1x7:
      return conv_7x1_1x7(x, stride);
  }
  kernels::fail("cell operation ", static_cast<int>(op), " is unknown");
}

}  // namespace mixop::nas
