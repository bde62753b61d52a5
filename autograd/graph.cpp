#include "autograd/graph.h"

namespace mixop::autograd {

const Node& GradContext::node() const { return graph.node(node_); }
Value GradContext::in(int i) const { return graph.node(node_).inputs[i]; }

Value Graph::source(Node node) {
  nodes_.push_back(std::move(node));
  return {size() - 1, 0};
}

Value Graph::input(const std::string& name, Shape shape) { return input(name, shape, real_); }

Value Graph::input(const std::string& name, Shape shape, DType dtype) {
  Node n;
  n.name = name;
  n.outputs = {{shape, dtype}};
  return source(std::move(n));
}

Value Graph::tensor(TensorStore& store, const std::string& name, Shape shape, const Init& init) {
  return stored(store, store.find_or_create(name, shape, init), name, shape);
}

Value Graph::flat(TensorStore& store) { return stored(store, kWholeStore, store.name(), {store.elements()}); }

Value Graph::stored(TensorStore& store, int entry, const std::string& name, const Shape& shape) {
  const auto [it, fresh] = tensors_.try_emplace({&store, entry}, size());
  if (!fresh) return {it->second, 0};
  Node n;
  n.name = name;
  n.store = &store;
  n.entry = entry;
  n.outputs = {{shape, store.dtype()}};
  return source(std::move(n));
}

std::vector<Value> Graph::add(const OpDef& op, std::vector<Value> inputs, std::shared_ptr<const void> attrs) {
  Node n;
  n.op = &op;
  n.inputs = std::move(inputs);
  n.attrs = std::move(attrs);
  n.name = scope_;
  n.backward = backward_;
  n.when = when_;
  for (const Value v : n.inputs) MIXOP_CHECK(v, op.name, ": an input is missing");
  try {
    n.outputs = op.shape(*this, n);
  } catch (const Error& e) {
    if (scope_.empty()) throw;
    kernels::fail(e.what(), " (at ", scope_, ")");
  }
  nodes_.push_back(std::move(n));
  std::vector<Value> out;
  for (size_t i = 0; i < nodes_.back().outputs.size(); ++i) out.push_back({size() - 1, static_cast<int>(i)});
  return out;
}

}  // namespace mixop::autograd
