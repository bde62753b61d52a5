#include "nas/cli/tolerance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"
#include "kernels/core/rng.h"

namespace mixop::cli {

using autograd::Graph;
using autograd::Node;
using autograd::Value;
using kernels::DType;

namespace {

constexpr std::string_view kNoisePrefix = "noise.";

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

/// Activations whose formula cancels inside: slopes such as 1 - tanh^2 times what arrives, and x (1 + erf(x)) / 2. The
/// terms are of the size of input 0.
bool adds_terms_of_its_input(const Node& n) {
  return n.op == &autograd::kUnaryGrad ||
         (n.op == &autograd::kUnary && n.attr<kernels::UnaryAttrs>().kind == kernels::Unary::kGelu);
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

Graph with_noise(const Graph& graph, std::vector<Value>& asked) {
  Graph noisy(graph.real());
  std::vector<std::vector<Value>> exact(graph.size()), rounded(graph.size());
  for (int i = 0; i < graph.size(); ++i) {
    Node n = graph.node(i);
    const bool effect = n.op && n.op->effect;
    for (Value& v : n.inputs) v = (effect ? exact : rounded)[v.node][v.output];
    const int count = static_cast<int>(n.outputs.size());
    const bool source = !n.op;
    const int at = noisy.append(std::move(n));
    for (int k = 0; k < count; ++k) {
      const Value v{at, k};
      exact[i].push_back(v);
      const autograd::TensorSpec spec = noisy.spec(v);
      if (source || spec.dtype == DType::kI32) {
        rounded[i].push_back(v);
        continue;
      }
      const Value noise = noisy.input(kernels::text(kNoisePrefix, i, ".", k), spec.shape, spec.dtype);
      rounded[i].push_back(autograd::mul(noisy, v, noise));
      if (!adds_terms_of_its_input(noisy.node(at))) continue;
      const Value change = autograd::sub(noisy, noise, autograd::constant(noisy, {1}, 1));
      rounded[i].back() =
          autograd::add(noisy, rounded[i].back(), autograd::mul(noisy, change, noisy.node(at).inputs[0]));
    }
    if (count == 0) exact[i] = rounded[i] = {{at, 0}};  // the handle of an effect
  }
  for (Value& v : asked) v = rounded[v.node][v.output];
  return noisy;
}

void fill_noise(autograd::Plan& plan, const Graph& noisy, int run) {
  for (int i = 0; i < noisy.size(); ++i) {
    const Node& n = noisy.node(i);
    if (n.op || n.store || !std::string_view(n.name).starts_with(kNoisePrefix) || !plan.has_input(n.name)) continue;
    const kernels::View v = plan.input(n.name);
    MIXOP_CHECK(v.dtype == DType::kF64, "noise: the graph must be of float64");
    for (int64_t e = 0; e < v.shape.elements(); ++e)
      v.as<double>()[e] = 1 + kEps32 * (2 * kernels::uniform(static_cast<uint64_t>(run), i, e) - 1);
  }
}

}  // namespace mixop::cli
