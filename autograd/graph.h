// A builder that records one static graph. Ops check shapes when they are added; gradients are ordinary nodes.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "autograd/params.h"
#include "kernels/core/impl.h"

namespace mixop::autograd {

using kernels::DType;
using kernels::Shape;

struct TensorSpec {
  Shape shape;
  DType dtype = DType::kF32;
};

/// A handle: output `output` of node `node`.
struct Value {
  int node = -1, output = 0;
  explicit operator bool() const { return node >= 0; }
  auto operator<=>(const Value&) const = default;
};

/// When a node is carried out: while choice number `choice` of the plan has the value `value`; by default always.
/// A node that is not carried out counts as zeros for whoever reads it.
struct Condition {
  int choice = -1;
  int32_t value = 0;
  explicit operator bool() const { return choice >= 0; }
  auto operator<=>(const Condition&) const = default;
};
/// Never both true: what happens under one can use the memory of the other.
inline bool exclusive(const Condition& a, const Condition& b) {
  return a && a.choice == b.choice && a.value != b.value;
}

class Graph;
struct Node;

/// What a gradient rule sees: the node, the gradients that arrive and a place for those that are wanted.
class GradContext {
 public:
  GradContext(Graph& graph, int node, std::vector<Value> dy, std::vector<bool> wants)
      : graph(graph), node_(node), dy_(std::move(dy)), wants_(std::move(wants)), dx_(wants_.size()) {}
  Graph& graph;
  const Node& node() const;
  Value in(int i) const;
  Value out(int i = 0) const { return {node_, i}; }
  /// Gradient of output i; an empty handle when nothing depends on it.
  Value dy(int i = 0) const { return dy_[i]; }
  bool wants(int i) const { return wants_[i]; }
  void set(int i, Value dx) { dx_[i] = dx; }
  const std::vector<Value>& results() const { return dx_; }

 private:
  int node_;
  std::vector<Value> dy_;
  std::vector<bool> wants_;
  std::vector<Value> dx_;
};

/// One operation; its address is its identity. Defined in autograd/ops/<op>.cpp.
struct OpDef {
  const char* name;
  /// Output types; throws, naming the op, the shapes and the rule broken.
  std::vector<TensorSpec> (*shape)(const Graph&, const Node&);
  /// Appends the nodes of the wanted gradients; null: the op has no gradient, and asking for one fails by name.
  void (*grad)(GradContext&);
  /// Implementations on the CPU, best first.
  std::span<const kernels::Impl> (*cpu)();
  /// Implementations on a CUDA device, in the order of the fixed choice; empty in a build without CUDA.
  std::span<const kernels::Impl> (*cuda)() = nullptr;
  /// What tells calls of equal shapes apart (stride, dilation, ...); null: nothing does.
  std::string (*detail)(const Node&) = nullptr;
  double (*flops)(const Graph&, const Node&) = nullptr;  ///< null: not counted
  double (*macs)(const Graph&, const Node&) = nullptr;   ///< multiply-adds of convolutions and linear layers only
  /// Whether an output can be written with Write::kAdd, so that a sum of gradients needs no buffer of its own;
  /// null: none can.
  bool (*accumulates)(const Node&, int output) = nullptr;
  /// Operands that may be stored as bfloat16 on a device; null: none may.
  bool (*bf16)(const Graph&, const Node&, bool output, int index) = nullptr;
  /// Outputs that alias inputs at no cost: a concatenation, a slice, a flat pack (see passes/memory.cpp).
  enum class Alias : uint8_t { kNone, kConcat, kSlice, kPack, kSum, kReshape } alias = Alias::kNone;
  /// The node writes into its Tensor inputs (optimiser steps, counters): it is kept although nothing
  /// reads it.
  bool effect = false;
};

struct Node {
  const OpDef* op = nullptr;  ///< null: a source (input or stored tensor)
  std::vector<Value> inputs;
  std::vector<TensorSpec> outputs;
  std::shared_ptr<const void> attrs;
  std::string name;              ///< scope path, e.g. "cells.0.edge.3.sep_conv_3x3"; of a source its own name
  TensorStore* store = nullptr;  ///< source that lives in a store (parameters, state)
  int entry = -1;                ///< its index there; kWholeStore: the store's flat buffer
  bool backward = false;         ///< appended by gradients() or an optimiser
  Condition when{};              ///< carried out only then

  template <class A>
  const A& attr() const {
    return *static_cast<const A*>(attrs.get());
  }
};

constexpr int kWholeStore = -2;

/// OpDef::accumulates of most ops.
inline bool first_output(const Node&, int output) { return output == 0; }

class Graph {
 public:
  /// All float values of the graph have this type; float64 runs the reference implementations.
  explicit Graph(DType real = DType::kF32) : real_(real) {}
  DType real() const { return real_; }

  /// Fed before each run through Plan::input(name).
  Value input(const std::string& name, Shape shape);
  Value input(const std::string& name, Shape shape, DType dtype);
  /// A tensor of a store; created there on first use, else its shape must agree.
  Value tensor(TensorStore& store, const std::string& name, Shape shape, const Init& init = Init::zeros());
  /// The whole flat buffer of a store, [elements].
  Value flat(TensorStore& store);

  /// Appends a node. Shapes are checked here.
  std::vector<Value> add(const OpDef& op, std::vector<Value> inputs, std::shared_ptr<const void> attrs = nullptr);
  template <class A>
  std::vector<Value> add(const OpDef& op, std::vector<Value> inputs, A attrs) {
    return add(op, std::move(inputs), std::shared_ptr<const void>(std::make_shared<const A>(std::move(attrs))));
  }

  /// Appends a node as it is (the passes rebuild graphs with this).
  int append(Node node) {
    nodes_.push_back(std::move(node));
    return size() - 1;
  }

  const Node& node(int i) const { return nodes_[i]; }
  Node& node(int i) { return nodes_[i]; }
  const Node& node(Value v) const { return nodes_[v.node]; }
  int size() const { return static_cast<int>(nodes_.size()); }
  const TensorSpec& spec(Value v) const { return nodes_[v.node].outputs[v.output]; }
  const Shape& shape(Value v) const { return spec(v).shape; }
  /// The value can be added to what is in its place already.
  bool accumulates(Value v) const {
    const Node& n = nodes_[v.node];
    return n.op && n.op->accumulates && n.op->accumulates(n, v.output);
  }

  /// Names nodes added while it lives: Scope s(g, "cells.0").
  class Scope {
   public:
    Scope(Graph& g, const std::string& name) : graph_(g), length_(g.scope_.size()) {
      g.scope_ += (g.scope_.empty() ? "" : ".") + name;
    }
    ~Scope() { graph_.scope_.resize(length_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Graph& graph_;
    size_t length_;
  };
  /// A new choice, to be made before each run by Plan::choose(); returns its number, counted from 0.
  int add_choice() { return choices_++; }
  int choices() const { return choices_; }
  /// Nodes added while it lives are carried out under its condition only: When w(g, {choice, 3}). Conditions do not
  /// nest. A tensor of a store or an input is always there; `gate` makes it, or any value, part of a condition.
  class When {
   public:
    When(Graph& g, const Condition& condition) : graph_(g), before_(g.when_) {
      MIXOP_CHECK(!before_ || before_ == condition, "graph: a condition within another");
      g.when_ = condition;
    }
    ~When() { graph_.when_ = before_; }
    When(const When&) = delete;
    When& operator=(const When&) = delete;

   private:
    Graph& graph_;
    Condition before_;
  };
  const Condition& condition() const { return when_; }

  const std::string& scope() const { return scope_; }
  void set_scope(const std::string& s) { scope_ = s; }
  void set_backward(bool on) { backward_ = on; }

 private:
  Value source(Node node);
  Value stored(TensorStore& store, int entry, const std::string& name, const Shape& shape);
  DType real_;
  std::deque<Node> nodes_;                               // references to nodes stay valid while rules append more
  std::map<std::pair<TensorStore*, int>, int> tensors_;  // one source node per stored tensor
  std::string scope_;
  Condition when_;
  int choices_ = 0;
  bool backward_ = false;
};

/// OpDef::bf16 of ops whose operands [N,H,W,C] are all activations or gradients of some.
inline bool activations(const Graph& g, const Node& n, bool output, int index) {
  return (output ? n.outputs[index].shape : g.shape(n.inputs[index])).rank() == 4;
}

/// d loss / d each of wrt; loss is [1], or `seed` is the gradient that arrives at it. Only nodes on a path from a
/// wanted value to the loss are added. An empty handle where the loss does not depend on the value.
std::vector<Value> gradients(Graph& g, Value loss, const std::vector<Value>& wrt, Value seed = {});
/// The same for several outputs with one given upstream gradient each: the vector-Jacobian product.
std::vector<Value> vector_jacobian(Graph& g, const std::vector<Value>& outputs, const std::vector<Value>& upstream,
                                   const std::vector<Value>& wrt);

}  // namespace mixop::autograd
