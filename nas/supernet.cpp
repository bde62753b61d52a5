#include "nas/supernet.h"

#include <algorithm>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"

namespace mixop::nas {

using autograd::Init;

std::string_view lowering_name(Lowering lowering) {
  return lowering == Lowering::kGrouped ? "grouped" : "reference";
}

Lowering parse_lowering(const std::string& name) {
  for (const Lowering l : {Lowering::kGrouped, Lowering::kReference})
    if (name == lowering_name(l)) return l;
  kernels::fail("supernet: no lowering '", name, "'; there are: grouped, reference");
}

std::vector<int> SupernetOptions::reductions() const {
  if (!reduction_cells.empty()) return reduction_cells;
  return {cells / 3, 2 * cells / 3};
}

void SupernetOptions::check() const {
  MIXOP_CHECK(cells >= 1 && nodes >= 1 && channels >= 1 && classes >= 2 && image_channels >= 1,
              "supernet: cells, nodes, channels and image channels must be at least 1 and classes at least 2");
  MIXOP_CHECK(multiplier >= 1 && multiplier <= nodes, "supernet: multiplier ", multiplier, " is not in 1..", nodes);
  MIXOP_CHECK(height >= 4 && width >= 4 && height % 4 == 0 && width % 4 == 0, "supernet: images of ", height, "x",
              width, " pixels: height and width must be divisible by 4; pad or resize the images");
  MIXOP_CHECK(!operations.empty(), "supernet: no candidate operations");
}

Value cifar_stem(Layers& layers, Value images, int64_t channels) {
  const Graph::Scope scope(layers.g, "stem");
  return layers.batch_norm(layers.conv(images, "conv.w", channels, 3, 1, 1), "bn", true);
}

namespace {

bool is_pool(CellOp op) { return op == CellOp::max_pool_3x3 || op == CellOp::avg_pool_3x3; }

/// One searched cell: every node mixes the candidates of all its incoming edges. State j is s0, s1 or node j - 2.
class SearchCell {
 public:
  SearchCell(Layers& layers, const SupernetOptions& options, int64_t channels, bool reduction, Value mixing)
      : layers_(layers),
        options_(options),
        columns_(static_cast<int>(options.operations.size())),
        channels_(channels),
        reduction_(reduction),
        mixing_(mixing),
        terms_(static_cast<size_t>(options.edges() * columns_)) {}

  Value build(Value s0, Value s1, bool previous_reduced) {
    states_ = {preprocess(s0, "pre0", previous_reduced), preprocess(s1, "pre1", false)};
    if (options_.lowering == Lowering::kGrouped) build_by_source();
    else build_by_target();
    return autograd::concat(layers_.g, {states_.end() - options_.multiplier, states_.end()}, 3);
  }

 private:
  Value preprocess(Value s, const char* name, bool reduce) {
    const Graph::Scope scope(layers_.g, name);
    return reduce ? layers_.factorized_reduce(s, channels_) : layers_.relu_conv_bn(s, channels_);
  }

  void build_by_target() {
    for (int n = 0; n < options_.nodes; ++n) {
      for (int j = 0; j < n + 2; ++j) {
        const Graph::Scope scope(layers_.g, edge_name(n, j));
        for (int k = 0; k < columns_; ++k)
          term(n, j, k) = layers_.operation(options_.operations[k], states_[j], stride(j), true);
      }
      add_node(n);
    }
  }

  /// Everything that reads a state follows it directly, so that passes can join it.
  void build_by_source() {
    for (int j = 0; j <= options_.nodes; ++j) {
      for (int k = 0; k < columns_; ++k)
        if (is_pool(options_.operations[k])) add_pools(j, k);
      Value rectified;
      for (int n = first_target(j); n < options_.nodes; ++n)
        for (int k = 0; k < columns_; ++k) add_candidate(n, j, k, rectified);
      if (j > 0) add_node(j - 1);  // its last incoming edge was that of state j
    }
  }

  /// The pool of state j for all its targets. Its batch statistics are the same for all, its running ones only as
  /// long as all have been moved together: in evaluation each edge is normalised by its own.
  void add_pools(int j, int k) {
    const std::string op(op_name(options_.operations[k])), cell = layers_.g.scope();
    const Graph::Scope scope(layers_.g, "state." + std::to_string(j) + "." + op);
    const Value pooled = layers_.pool(options_.operations[k], states_[j], stride(j));
    const int together = layers_.training ? kernels::kMostRunning : 1;
    for (int first = first_target(j); first < options_.nodes; first += together) {
      const int end = std::min(first + together, options_.nodes);
      std::vector<std::string> norms;
      for (int n = first; n < end; ++n) norms.push_back(cell + "." + edge_name(n, j) + "." + op + ".bn");
      const Value normed = layers_.shared_batch_norm(pooled, norms);
      for (int n = first; n < end; ++n) term(n, j, k) = normed;
    }
  }

  /// Candidate k from state j to node n, unless it is a pool. Factorized reductions share the relu of the state:
  /// two convolutions read it, so that its gradient is a pass of its own. That of a single convolution is part of
  /// that convolution, and sharing would only take it out.
  void add_candidate(int n, int j, int k, Value& rectified) {
    const CellOp op = options_.operations[k];
    if (is_pool(op)) return;
    if (op != CellOp::skip_connect || stride(j) == 1) {
      const Graph::Scope scope(layers_.g, edge_name(n, j));
      term(n, j, k) = layers_.operation(op, states_[j], stride(j), true);
      return;
    }
    if (!rectified) {
      const Graph::Scope scope(layers_.g, "state." + std::to_string(j));
      rectified = autograd::relu(layers_.g, states_[j]);
    }
    const Graph::Scope scope(layers_.g, edge_name(n, j) + "." + std::string(op_name(op)));
    term(n, j, k) = layers_.factorized_reduce_rectified(rectified, channels_);
  }

  /// Node n, once all terms of its incoming edges are there; it becomes a state.
  void add_node(int n) {
    std::vector<std::pair<int64_t, Value>> terms;
    for (int64_t i = int64_t{edge(n, 0)} * columns_; i < int64_t{edge(n + 1, 0)} * columns_; ++i)
      if (terms_[static_cast<size_t>(i)]) terms.push_back({i, terms_[static_cast<size_t>(i)]});
    const Graph::Scope scope(layers_.g, "node." + std::to_string(n));
    states_.push_back(autograd::mix(layers_.g, mixing_, terms));
  }

  /// Number of the edge from state j to node n: they are counted target by target.
  static int edge(int n, int j) { return n * (n + 3) / 2 + j; }
  static std::string edge_name(int n, int j) { return "edge." + std::to_string(edge(n, j)); }
  static int first_target(int j) { return std::max(0, j - 1); }
  int stride(int j) const { return reduction_ && j < 2 ? 2 : 1; }
  Value& term(int n, int j, int k) { return terms_[static_cast<size_t>(edge(n, j) * columns_ + k)]; }

  Layers& layers_;
  const SupernetOptions& options_;
  int columns_;
  int64_t channels_;
  bool reduction_;
  Value mixing_;
  std::vector<Value> states_, terms_;  // terms: [edges, operations], like the table
};

NetworkOutputs build(Graph& g, Value images, Stores& stores, const SupernetOptions& o, bool training) {
  Layers layers{g, stores.weights, &stores.state, training, false};
  const kernels::Shape table{o.edges(), static_cast<int64_t>(o.operations.size())};
  const Init init = Init::normal(1e-3);
  const Value normal = autograd::softmax(g, g.tensor(stores.alphas, "alphas_normal", table, init));
  const Value reduce = autograd::softmax(g, g.tensor(stores.alphas, "alphas_reduce", table, init));

  NetworkOutputs out;
  out.stem = cifar_stem(layers, images, o.stem_multiplier * o.channels);
  Value s0 = out.stem, s1 = out.stem;
  int64_t channels = o.channels;
  bool previous_reduced = false;
  const std::vector<int> reductions = o.reductions();
  for (int i = 0; i < o.cells; ++i) {
    const bool reduction = std::find(reductions.begin(), reductions.end(), i) != reductions.end();
    if (reduction) channels *= 2;
    const Graph::Scope scope(g, "cells." + std::to_string(i));
    const Value s =
        SearchCell(layers, o, channels, reduction, reduction ? reduce : normal).build(s0, s1, previous_reduced);
    s0 = s1;
    s1 = s;
    previous_reduced = reduction;
    out.cells.push_back(s);
  }
  out.pooled = autograd::global_avg_pool(g, s1);
  out.logits = layers.linear(out.pooled, "classifier", o.classes);
  return out;
}

}  // namespace

NetworkOutputs build_supernet(Graph& g, Value images, Stores& stores, const SupernetOptions& o, bool training) {
  o.check();
  if (o.lowering != Lowering::kReference) {
    // Tensors lie in their stores in the order in which they are first used: that of the reference for all.
    SupernetOptions reference = o;
    reference.lowering = Lowering::kReference;
    Graph scratch(g.real());
    build(scratch, scratch.input("images", g.shape(images)), stores, reference, training);
  }
  return build(g, images, stores, o, training);
}

}  // namespace mixop::nas
