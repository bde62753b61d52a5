// Reverse mode: each op's rule appends ordinary nodes for the wanted inputs only.
#include <algorithm>

#include "autograd/graph.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"

namespace mixop::autograd {
namespace {

/// Nodes whose value depends on one of wrt.
std::vector<bool> depending_on(const Graph& g, const std::vector<Value>& wrt) {
  std::vector<bool> depends(g.size());
  for (const Value v : wrt) depends[v.node] = true;
  for (int i = 0; i < g.size(); ++i)
    for (const Value v : g.node(i).inputs)
      if (depends[v.node]) depends[i] = true;
  return depends;
}

/// Nodes that an output depends on.
std::vector<bool> leading_to(const Graph& g, const std::vector<Value>& outputs) {
  std::vector<bool> needed(g.size());
  for (const Value v : outputs) needed[v.node] = true;
  for (int i = g.size() - 1; i >= 0; --i)
    if (needed[i])
      for (const Value v : g.node(i).inputs) needed[v.node] = true;
  return needed;
}

class Reverse {
 public:
  Reverse(Graph& g, const std::vector<Value>& outputs, const std::vector<Value>& wrt)
      : g_(g), end_(g.size()), depends_(depending_on(g, wrt)), needed_(leading_to(g, outputs)), arrived_(end_) {
    for (int i = 0; i < end_; ++i) arrived_[i].resize(g.node(i).outputs.size());
  }

  void arrive(Value at, Value gradient) { arrived_[at.node][at.output].push_back(gradient); }

  /// The gradient at a value: the sum of what arrived, or empty.
  Value total(Value at) {
    auto& parts = arrived_[at.node][at.output];
    if (parts.size() > 1) parts = {sum(g_, parts)};
    return parts.empty() ? Value() : parts[0];
  }

  void run() {
    for (int i = end_ - 1; i >= 0; --i)
      if (depends_[i] && needed_[i] && g_.node(i).op) visit(i);
  }

 private:
  void visit(int i) {
    const Node& node = g_.node(i);
    g_.set_scope(node.name);
    const Graph::When when(g_, node.when);
    std::vector<Value> dy;
    for (size_t k = 0; k < node.outputs.size(); ++k) dy.push_back(total({i, static_cast<int>(k)}));
    if (std::none_of(dy.begin(), dy.end(), [](Value v) { return bool(v); })) return;
    std::vector<bool> wants;
    for (const Value v : node.inputs) wants.push_back(depends_[v.node] && g_.spec(v).dtype != DType::kI32);
    if (std::find(wants.begin(), wants.end(), true) == wants.end()) return;
    MIXOP_CHECK(node.op->grad, node.op->name, ": has no gradient rule (at ", node.name, ")");
    GradContext context(g_, i, dy, wants);
    node.op->grad(context);
    for (size_t k = 0; k < node.inputs.size(); ++k)
      if (const Value dx = context.results()[k]) {
        MIXOP_CHECK(g_.shape(dx) == g_.shape(node.inputs[k]), node.op->name, ": gradient of input ", k,
                    " has shape ", g_.shape(dx), ", the input ", g_.shape(node.inputs[k]));
        arrive(node.inputs[k], dx);
      }
  }

  Graph& g_;
  int end_;
  std::vector<bool> depends_, needed_;
  std::vector<std::vector<std::vector<Value>>> arrived_;
};

}  // namespace

std::vector<Value> vector_jacobian(Graph& g, const std::vector<Value>& outputs, const std::vector<Value>& upstream,
                                   const std::vector<Value>& wrt) {
  MIXOP_CHECK(outputs.size() == upstream.size(), "vector_jacobian: ", outputs.size(), " outputs but ",
              upstream.size(), " upstream gradients");
  const std::string scope = g.scope();
  g.set_backward(true);
  Reverse reverse(g, outputs, wrt);
  for (size_t i = 0; i < outputs.size(); ++i) reverse.arrive(outputs[i], upstream[i]);
  reverse.run();
  std::vector<Value> result;
  for (const Value v : wrt) result.push_back(reverse.total(v));
  g.set_backward(false);
  g.set_scope(scope);
  return result;
}

std::vector<Value> gradients(Graph& g, Value loss, const std::vector<Value>& wrt, Value seed) {
  if (!seed) {
    MIXOP_CHECK(g.shape(loss).elements() == 1, "gradients: the loss has shape ", g.shape(loss),
                ", expected one element");
    seed = constant(g, g.shape(loss), 1.0);
  }
  return vector_jacobian(g, {loss}, {seed}, wrt);
}

}  // namespace mixop::autograd
