#include "nas/cli/perturb.h"

#include <algorithm>
#include <string_view>

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/unary.h"
#include "kernels/core/rng.h"

namespace mixop::cli {
namespace {

using autograd::Graph;
using autograd::Node;
using autograd::Value;

constexpr std::string_view kNoise = "noise.", kShift = "shift.", kTie = "tie.";

/// Activations whose formula cancels inside; the terms are of the size of input 0.
bool adds_terms_of_its_input(const Node& n) {
  return n.op == &autograd::kUnaryGrad ||
         (n.op == &autograd::kUnary && n.attr<kernels::UnaryAttrs>().kind == kernels::Unary::kGelu);
}

class Rewriter {
 public:
  explicit Rewriter(const Graph& from) : from_(from), to_(from.real()), exact_(from.size()), moved_(from.size()) {}

  Graph rewrite(std::vector<Value>& asked) {
    for (int i = 0; i < from_.size(); ++i) copy(i);
    for (Value& v : asked) v = moved_[v.node][v.output];
    return std::move(to_);
  }

 private:
  Value input(std::string_view prefix, int node, int output, const kernels::Shape& shape) {
    return to_.input(kernels::text(prefix, node, ".", output), shape);
  }

  void copy(int i) {
    Node n = from_.node(i);
    const bool source = !n.op, effect = n.op && n.op->effect;
    for (Value& v : n.inputs) v = (effect ? exact_ : moved_)[v.node][v.output];
    if (!source && from_.node(i).inputs.size() > 1 && from_.node(from_.node(i).inputs[1]).op) move_kink(n, i);
    const int count = static_cast<int>(n.outputs.size()), at = to_.append(std::move(n));
    for (int k = 0; k < count; ++k) {
      const Value v{at, k};
      exact_[i].push_back(v);
      moved_[i].push_back(source || to_.spec(v).dtype == autograd::DType::kI32 ? v : with_noise(v, i));
    }
    if (count == 0) exact_[i] = moved_[i] = {{at, 0}};  // the handle of an effect
  }

  Value with_noise(Value v, int i) {
    const Value noise = input(kNoise, i, v.output, to_.shape(v)), product = autograd::mul(to_, v, noise);
    if (!adds_terms_of_its_input(to_.node(v))) return product;
    const Value change = autograd::sub(to_, noise, autograd::constant(to_, {1}, 1));
    return autograd::add(to_, product, autograd::mul(to_, change, to_.node(v).inputs[0]));
  }

  /// Input 1 of these gradients is where the slope is taken or the maximum found again.
  void move_kink(Node& n, int i) {
    Value& x = n.inputs[1];
    if (n.op == &autograd::kReluGrad || n.op == &autograd::kUnaryGrad) {
      const Value minus = autograd::sub(to_, autograd::zeros(to_, {1}), x);
      const Value range = autograd::add(to_, autograd::reduce_max(to_, x), autograd::reduce_max(to_, minus));
      x = autograd::add(to_, x, autograd::mul(to_, range, input(kShift, i, 0, {1})));
    } else if (n.op == &autograd::kMaxPoolGrad) {
      x = autograd::add(to_, x, autograd::mul(to_, x, input(kTie, i, 0, to_.shape(x))));
    }
  }

  const Graph& from_;
  Graph to_;
  std::vector<std::vector<Value>> exact_, moved_;  // of the original's nodes, in the copy
};

}  // namespace

Graph perturbable(const Graph& graph, std::vector<Value>& asked) { return Rewriter(graph).rewrite(asked); }

void fill_perturbation(autograd::Plan& plan, const Graph& graph, const Perturbation& p) {
  const double noise = p.kind == Perturbation::Kind::kNoise ? kEps32 : 0;
  const double kink = p.kind == Perturbation::Kind::kKinks ? kKinkWidth * kEps32 : 0;
  for (int i = 0; i < graph.size(); ++i) {
    const std::string_view name = graph.node(i).name;
    const bool is_noise = name.starts_with(kNoise), is_shift = name.starts_with(kShift);
    if (graph.node(i).op || graph.node(i).store || !(is_noise || is_shift || name.starts_with(kTie))) continue;
    if (!plan.has_input(graph.node(i).name)) continue;
    const kernels::View v = plan.input(graph.node(i).name);
    MIXOP_CHECK(v.dtype == kernels::DType::kF64, "perturbation: the graph must be of float64");
    const double centre = is_noise ? 1 : is_shift ? (p.run % 2 ? -kink : kink) : 0;
    const double range = is_noise ? noise : is_shift ? 0 : kink;
    std::fill_n(v.as<double>(), v.shape.elements(), centre);
    for (int64_t e = 0, n = range > 0 ? v.shape.elements() : 0; e < n; ++e)
      v.as<double>()[e] += range * (2 * kernels::uniform(static_cast<uint64_t>(p.run), i, e) - 1);
  }
}

}  // namespace mixop::cli
