// The space of NAS-Bench-101 (Ying et al. 2019): graphs of 7 vertices, of which only what lies on a path from the
// first to the last counts; that part has at most 9 edges. An architecture is 26 numbers: the upper triangle of the
// adjacency matrix, row by row (0 or 1), then the operations of vertices 1 to 5 (0 to 2).
#pragma once

#include "nas/space/nb101_graph.h"

namespace mixop::nas {

class Nb101Space final : public Space {
 public:
  static constexpr size_t kEdgeSlots = 21, kOpSlots = 5;

  std::string name() const override { return "nb101"; }
  std::string describe() const override {
    return "NAS-Bench-101 cells: graphs of at most 7 vertices and 9 edges, 3 operations";
  }
  /// The forms of nb101_text.h. Smaller graphs keep their first vertices; their output becomes vertex 6.
  Arch parse(std::string_view text) const override;
  /// All 21 bits and 5 digits.
  std::string format(const Arch& arch) const override;
  std::optional<std::string> find_fault(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override { return {2, 3}; }
  /// As the benchmark's examples: uniform matrices and operations until one is valid.
  Arch sample(Random& random) const override;
  /// As the benchmark's example of evolution: every edge flips with probability 1/7, every operation becomes
  /// another one with 1/5, until the result is valid.
  Child mutate(const Arch& arch, Random& random) const override;
  /// All valid ones with one edge flipped or one operation changed.
  std::vector<Arch> neighbours(const Arch& arch) const override;
  ArchKey key(const Arch& arch) const override;
  double count() const override;
  /// 423,624 as published.
  std::optional<int64_t> count_classes() const override { return count_nb101_cells(Nb101Graph::kMaxVertices); }
  /// kOneHot: 21 edges and 5 times 3 operations; kPath: the 364 possible operation sequences of a path.
  size_t features(Encoding encoding) const override;
  void encode(const Arch& arch, Encoding encoding, std::span<float> to) const override;
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  std::string draw_dot(const Arch& arch) const override;
};

/// The pruned graph of a valid architecture.
Nb101Graph nb101_graph(const Arch& arch);

}  // namespace mixop::nas
