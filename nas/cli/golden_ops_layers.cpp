// Golden operations with weights, windows or classes.
#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pool.h"
#include "nas/cli/golden_ops.h"

namespace mixop::cli {
namespace {

using autograd::Value;
using kernels::Shape;

void conv2d(Program& p) {
  const Value x = p.input("x", Layout::kImage), w = p.input("w", Layout::kKernel);
  const Shape ws = p.g.shape(w);
  kernels::Conv2dAttrs a;
  a.kernel = p.pair("kernel", {static_cast<int>(ws[0]), static_cast<int>(ws[1])});
  MIXOP_CHECK(a.kernel[0] == ws[0] && a.kernel[1] == ws[1], "parameter 'kernel' disagrees with the weight");
  a.stride = p.pair("stride", {1, 1});
  a.pad_begin = a.pad_end = p.pair("padding", {0, 0});
  a.dilation = p.pair("dilation", {1, 1});
  a.groups = p.integer("groups", 1);
  Value y = autograd::conv2d(p.g, x, w, a);
  if (p.flag("bias", p.has("b"))) y = autograd::add(p.g, y, p.input("b"));
  p.output(y, Layout::kImage);
}

template <Value (*kPool)(autograd::Graph&, Value, const autograd::PoolAttrs&), bool kAverage>
void pool2d(Program& p) {
  autograd::PoolAttrs a;
  MIXOP_CHECK(p.given("kernel"), "the manifest has no parameter 'kernel'");
  a.kernel = p.pair("kernel", {});
  a.stride = p.pair("stride", a.kernel);
  a.pad = p.pair("padding", {0, 0});
  a.ceil_mode = p.flag("ceil_mode", false);
  if (kAverage) a.include_pad = p.flag("count_include_pad", true);
  else a.dilation = p.pair("dilation", {1, 1});
  p.output(kPool(p.g, p.input("x", Layout::kImage), a), Layout::kImage);
}

void global_avg_pool(Program& p) { p.output(autograd::global_avg_pool(p.g, p.input("x", Layout::kImage))); }

void batch_norm(Program& p) {
  autograd::BatchNorm bn;
  bn.training = p.flag("training", true);
  bn.eps = p.number("eps", 1e-5);
  bn.momentum = p.number("momentum", 0.1);
  const Value x = p.input("x", Layout::kImage);
  if (p.flag("affine", p.has("gamma"))) {
    bn.gamma = p.input("gamma");
    bn.beta = p.input("beta");
  }
  if (p.has("running_mean") || p.has("running_var")) {
    bn.running_mean = p.running("running_mean", "running_mean_after");
    bn.running_var = p.running("running_var", "running_var_after");
  }
  p.output("y", autograd::batch_norm(p.g, x, bn), Layout::kImage);
}

/// The first axes as one.
Shape as_rows(const Shape& s) { return {s.rows(), s.last()}; }
Shape with_last(Shape s, int64_t last) {
  s[-1] = last;
  return s;
}

void linear(Program& p) {
  const Value x = p.input("x"), w = p.input("w");
  const Shape xs = p.g.shape(x);
  MIXOP_CHECK(p.g.shape(w).rank() == 2, "linear: w must be [out, in], not ", p.g.shape(w));
  Value y = autograd::linear(p.g, xs.rank() == 2 ? x : autograd::reshape(p.g, x, as_rows(xs)), w);
  if (p.flag("bias", p.has("b"))) y = autograd::add(p.g, y, p.input("b"));
  p.output(xs.rank() == 2 ? y : autograd::reshape(p.g, y, with_last(xs, p.g.shape(w)[0])));
}

void matmul(Program& p) {
  const Value a = p.input("a"), b = p.input("b");
  const Shape as = p.g.shape(a), bs = p.g.shape(b);
  if (bs.rank() != 2 || as.rank() < 2)
    throw NotCovered("matmul of tensors of " + std::to_string(as.rank()) + " and " + std::to_string(bs.rank()) +
                     " axes");
  const Value y = autograd::matmul(p.g, as.rank() == 2 ? a : autograd::reshape(p.g, a, as_rows(as)), b);
  p.output(as.rank() == 2 ? y : autograd::reshape(p.g, y, with_last(as, bs[1])));
}

kernels::Reduction reduction_of(Program& p) {
  const std::string name = p.text("reduction", "mean");
  if (name == "mean") return kernels::Reduction::kMean;
  if (name == "sum") return kernels::Reduction::kSum;
  MIXOP_CHECK(name == "none", "parameter 'reduction' = '", name, "' is neither mean, sum nor none");
  return kernels::Reduction::kNone;
}

/// Logits [N, K, ...] as rows of classes.
Value class_rows(Program& p, const std::string& name) {
  const Value x = p.input(name, Layout::kImage);
  return p.g.shape(x).rank() == 2 ? x : autograd::reshape(p.g, x, as_rows(p.g.shape(x)));
}

void cross_entropy(Program& p) {
  const Value logits = class_rows(p, "logits"), labels = p.labels("labels", {p.g.shape(logits)[0]});
  std::optional<int> ignored;
  if (p.given("ignore_index")) ignored = p.integer("ignore_index", -100);
  const double smoothing = p.number("label_smoothing", 0);
  p.output(autograd::cross_entropy(p.g, logits, labels, smoothing, reduction_of(p), ignored));
}

void cross_entropy_soft(Program& p) {
  const Value logits = class_rows(p, "logits"), targets = class_rows(p, "targets");
  p.output(autograd::cross_entropy_soft(p.g, logits, targets, reduction_of(p)));
}

constexpr GoldenOp kOps[] = {{"conv2d", conv2d},
                             {"max_pool2d", pool2d<autograd::max_pool, false>},
                             {"avg_pool2d", pool2d<autograd::avg_pool, true>},
                             {"global_avg_pool", global_avg_pool},
                             {"batch_norm2d", batch_norm},
                             {"batch_norm1d", batch_norm},
                             {"linear", linear},
                             {"matmul", matmul},
                             {"cross_entropy", cross_entropy},
                             {"cross_entropy_soft", cross_entropy_soft}};

}  // namespace

std::span<const GoldenOp> layer_ops() { return kOps; }

}  // namespace mixop::cli
