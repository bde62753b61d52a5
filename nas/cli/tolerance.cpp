#include "nas/cli/tolerance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/softmax.h"

namespace mixop::cli {

using autograd::Graph;
using autograd::Node;
using autograd::Value;

namespace {

double window(const autograd::PoolAttrs& a) { return static_cast<double>(a.kernel[0]) * a.kernel[1]; }

bool is_product(const Node& n) {
  const std::string_view name = n.op->name;
  return name.starts_with("conv2d") || name.starts_with("matmul") || name.starts_with("linear");
}

/// Terms that one output element of the node sums.
double terms(const Graph& g, const Node& n) {
  if (n.outputs.empty()) return 1;
  const double written = static_cast<double>(n.outputs[0].shape.elements());
  if (is_product(n) && n.op->flops) return n.op->flops(g, n) / 2 / written;
  if (n.op == &autograd::kSoftmax || n.op == &autograd::kSoftmaxGrad || n.op == &autograd::kLogSoftmax ||
      n.op == &autograd::kLogSoftmaxGrad)
    return static_cast<double>(n.outputs[0].shape[n.attr<kernels::SoftmaxAttrs>().axis]);
  if (n.op == &autograd::kAvgPool) return window(n.attr<autograd::PoolAttrs>());
  if (n.op == &autograd::kAvgPoolGrad) return window(n.attr<kernels::AvgPoolGradAttrs>().pool);
  if (n.op == &autograd::kMaxPoolGrad) return window(n.attr<autograd::PoolAttrs>());
  if (n.op == &autograd::kMixWeightGrad) return static_cast<double>(g.shape(n.inputs[0]).elements());
  double read = 0;
  for (const Value v : n.inputs) read += static_cast<double>(g.shape(v).elements());
  return read / written;
}

}  // namespace

double longest_reduction(const Graph& graph) {
  double longest = 1;
  for (int i = 0; i < graph.size(); ++i)
    if (graph.node(i).op) longest = std::max(longest, terms(graph, graph.node(i)));
  return longest;
}

double tolerance_factor(const Graph& graph) { return 4 * std::sqrt(longest_reduction(graph)); }

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double v : values) {
    if (std::isnan(v)) return std::numeric_limits<double>::infinity();
    most = std::max(most, std::abs(v));
  }
  return most;
}

}  // namespace mixop::cli
