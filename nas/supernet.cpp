#include "nas/supernet.h"

#include <algorithm>
#include <optional>
#include <span>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/shuffle.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"
#include "nas/sharing/partial_channels.h"

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
  MIXOP_CHECK(partial >= 1 && channels % partial == 0, "supernet: ", channels, " channels do not divide into ",
              partial, " equal parts, one of which goes through the candidates; take a multiple of ", partial);
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
  SearchCell(Layers& layers, const SupernetOptions& options, int number, int64_t channels, bool reduction,
             const Mixing& mixing)
      : layers_(layers),
        options_(options),
        number_(number),
        columns_(static_cast<int>(options.operations.size())),
        channels_(channels),
        reduction_(reduction),
        mixing_(mixing),
        terms_(static_cast<size_t>(options.edges() * columns_)) {}

  Value build(Value s0, Value s1, bool previous_reduced) {
    add_state(preprocess(s0, "pre0", previous_reduced));
    add_state(preprocess(s1, "pre1", false));
    if (options_.lowering == Lowering::kGrouped) build_by_source();
    else build_by_target();
    return autograd::concat(layers_.g, {states_.end() - options_.multiplier, states_.end()}, 3);
  }

 private:
  Value preprocess(Value s, const char* name, bool reduce) {
    const Graph::Scope scope(layers_.g, name);
    return reduce ? layers_.factorized_reduce(s, channels_) : layers_.relu_conv_bn(s, channels_);
  }

  /// State j and the part of its channels that the candidates read.
  void add_state(Value state) {
    states_.push_back(state);
    if (options_.partial == 1) {
      sources_.push_back(state);
      return;
    }
    const int j = static_cast<int>(sources_.size());
    const Graph::Scope scope(layers_.g, "state." + std::to_string(j));
    const int64_t part = channels_ / options_.partial;
    sources_.push_back(autograd::slice(layers_.g, state, 0, part));
    const Value rest = autograd::slice(layers_.g, state, part, channels_ - part);
    const kernels::PoolAttrs halved{.kernel = {2, 2}, .stride = {2, 2}, .pad = {0, 0}};
    passing_.push_back(stride(j) == 1 ? rest : autograd::max_pool(layers_.g, rest, halved));
  }

  void build_by_target() {
    for (int n = 0; n < options_.nodes; ++n) {
      for (int j = 0; j < n + 2; ++j) {
        for (int k = 0; k < columns_; ++k) {
          if (!kept(n, j, k)) continue;
          const Graph::When when(layers_.g, condition(n, j, k));
          term(n, j, k) = candidate(n, j, k);
        }
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
    std::vector<int> targets;
    for (int n = first_target(j); n < options_.nodes; ++n)
      if (kept(n, j, k)) targets.push_back(n);
    if (targets.empty()) return;
    const Value pooled = layers_.pool(options_.operations[k], sources_[j], stride(j));
    const size_t together = layers_.training ? kernels::kMostRunning : 1;
    for (size_t first = 0; first < targets.size(); first += together) {
      const std::span group(targets.data() + first, std::min(together, targets.size() - first));
      std::vector<std::string> norms;
      for (const int n : group) norms.push_back(cell + "." + candidate_scope(n, j, k) + "." + op + ".bn");
      const Value normed = layers_.shared_batch_norm(pooled, norms);
      for (const int n : group) term(n, j, k) = normed;
    }
  }

  /// Candidate k from state j to node n, unless it is a pool. Factorized reductions share the relu of the state:
  /// two convolutions read it, so that its gradient is a pass of its own. That of a single convolution is part of
  /// that convolution, and sharing would only take it out.
  void add_candidate(int n, int j, int k, Value& rectified) {
    const CellOp op = options_.operations[k];
    if (is_pool(op) || !kept(n, j, k)) return;
    if (op != CellOp::skip_connect || stride(j) == 1) {
      term(n, j, k) = candidate(n, j, k);
      return;
    }
    if (!rectified) {
      const Graph::Scope scope(layers_.g, "state." + std::to_string(j));
      rectified = autograd::relu(layers_.g, sources_[j]);
    }
    const Graph::Scope scope(layers_.g, candidate_scope(n, j, k) + "." + std::string(op_name(op)));
    term(n, j, k) = layers_.factorized_reduce_rectified(rectified, channels_ / options_.partial);
  }

  /// Candidate k from state j to node n, with layers of its own.
  Value candidate(int n, int j, int k) {
    const Graph::Scope scope(layers_.g, candidate_scope(n, j, k));
    const Value y = layers_.operation(options_.operations[k], sources_[j], stride(j), true);
    if (y != sources_[j]) return y;  // not an identity
    if (mixing_.skip_keep) {
      const uint64_t stream = static_cast<uint64_t>(number_) * static_cast<uint64_t>(options_.edges()) + edge(n, j);
      return autograd::dropout(layers_.g, y, mixing_.skip_keep, 0, stream, mixing_.skip_draw);
    }
    return layers_.g.condition() ? autograd::gate(layers_.g, y) : y;
  }

  /// Node n becomes a state, once all terms of its incoming edges are there.
  void add_node(int n) { add_state(mixed_node(n)); }

  Value mixed_node(int n) {
    std::vector<std::pair<int64_t, Value>> terms;
    for (int64_t i = int64_t{edge(n, 0)} * columns_; i < int64_t{edge(n + 1, 0)} * columns_; ++i)
      if (terms_[static_cast<size_t>(i)]) terms.push_back({i, terms_[static_cast<size_t>(i)]});
    const Graph::Scope scope(layers_.g, "node." + std::to_string(n));
    const Value mixed = autograd::mix(layers_.g, mixing_.table, terms);
    if (options_.partial == 1) return mixed;
    // PC-DARTS shuffles the channels of every edge; the sum of shuffles is the shuffle of the sum.
    const Value joined = autograd::concat(layers_.g, {mixed, passed_by(n)});
    return autograd::channel_shuffle(layers_.g, joined, options_.partial);
  }

  /// The channels of node n that the candidates do not make.
  Value passed_by(int n) {
    if (!mixing_.edges) return autograd::sum(layers_.g, {passing_.begin(), passing_.begin() + n + 2});
    std::vector<std::pair<int64_t, Value>> terms;
    for (int j = 0; j < n + 2; ++j) terms.push_back({edge(n, j), passing_[static_cast<size_t>(j)]});
    return autograd::mix(layers_.g, mixing_.edges, terms);
  }

  autograd::Condition condition(int n, int j, int k) const {
    if (mixing_.choices.empty()) return {};
    return {mixing_.choices[static_cast<size_t>(edge(n, j))], k};
  }

  /// Number of the edge from state j to node n: they are counted target by target.
  static int edge(int n, int j) { return n * (n + 3) / 2 + j; }
  static std::string edge_name(int n, int j) { return "edge." + std::to_string(edge(n, j)); }
  /// An operation that is a candidate twice has weights of its own each time.
  std::string candidate_scope(int n, int j, int k) const {
    const auto& ops = options_.operations;
    const bool again = std::find(ops.begin(), ops.begin() + k, ops[k]) != ops.begin() + k;
    return edge_name(n, j) + (again ? ".auxiliary" : "");
  }
  static int first_target(int j) { return std::max(0, j - 1); }
  int stride(int j) const { return reduction_ && j < 2 ? 2 : 1; }
  bool kept(int n, int j, int k) const {
    return mixing_.kept.empty() || mixing_.kept[static_cast<size_t>(edge(n, j) * columns_ + k)];
  }
  Value& term(int n, int j, int k) { return terms_[static_cast<size_t>(edge(n, j) * columns_ + k)]; }

  Layers& layers_;
  const SupernetOptions& options_;
  int number_, columns_;
  int64_t channels_;
  bool reduction_;
  const Mixing& mixing_;
  std::vector<Value> states_, sources_, passing_;  // sources and what passes by them: parts of the states' channels
  std::vector<Value> terms_;                       // [edges, operations], like the table
};

NetworkOutputs build(Graph& g, Value images, Stores& stores, const SupernetOptions& o, const Mixing& normal,
                     const Mixing& reduce, bool training) {
  Layers layers{g, stores.weights, &stores.state, training, false};
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
        SearchCell(layers, o, i, channels, reduction, reduction ? reduce : normal).build(s0, s1, previous_reduced);
    s0 = s1;
    s1 = s;
    previous_reduced = reduction;
    out.cells.push_back(s);
  }
  out.pooled = autograd::global_avg_pool(g, s1);
  out.logits = layers.linear(out.pooled, "classifier", o.classes);
  return out;
}

Mixing softmaxed(Graph& g, Stores& stores, const SupernetOptions& o, const std::string& cell) {
  const kernels::Shape table{o.edges(), static_cast<int64_t>(o.operations.size())};
  const Mixing mixing{autograd::softmax(g, g.tensor(stores.alphas, "alphas_" + cell, table, Init::normal(1e-3)))};
  if (o.partial == 1) return mixing;
  const Value betas = g.tensor(stores.alphas, "betas_" + cell, {o.edges(), 1}, Init::normal(1e-3));
  return weigh_edges(g, mixing, softmax_by_node(g, betas));
}

/// Tensors lie in their stores in the order in which they are first used: that of the reference for all lowerings.
void lay_out(Graph& g, Value images, Stores& stores, const SupernetOptions& o, const Mixing& normal,
             const Mixing& reduce, bool training) {
  if (o.lowering == Lowering::kReference) return;
  SupernetOptions reference = o;
  reference.lowering = Lowering::kReference;
  Graph scratch(g.real());
  const auto stand_in = [&](const std::string& name, const Mixing& m) {
    Mixing mixing{.table = scratch.input(name, g.shape(m.table)), .kept = m.kept};
    if (m.edges) mixing.edges = scratch.input(name + ".edges", g.shape(m.edges));
    if (m.skip_keep) mixing.skip_keep = mixing.skip_draw = scratch.input(name + ".skips", {1});
    return mixing;
  };
  build(scratch, scratch.input("images", g.shape(images)), stores, reference, stand_in("normal", normal),
        stand_in("reduce", reduce), training);
}

}  // namespace

NetworkOutputs build_supernet(Graph& g, Value images, Stores& stores, const SupernetOptions& o, bool training) {
  o.check();
  const Mixing normal = softmaxed(g, stores, o, "normal"), reduce = softmaxed(g, stores, o, "reduce");
  return build_supernet(g, images, stores, o, normal, reduce, training);
}

NetworkOutputs build_supernet(Graph& g, Value images, Stores& stores, const SupernetOptions& o,
                              const Mixing& normal, const Mixing& reduce, bool training) {
  o.check();
  MIXOP_CHECK((normal.choices.empty() && reduce.choices.empty()) || o.lowering == Lowering::kReference,
              "supernet: sampled paths need the reference lowering");
  lay_out(g, images, stores, o, normal, reduce, training);
  return build(g, images, stores, o, normal, reduce, training);
}

}  // namespace mixop::nas
