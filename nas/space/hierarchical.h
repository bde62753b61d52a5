// The hierarchical space of Liu et al. 2018 with its published sizes: six motifs, graphs of four nodes whose edges
// are primitive operations, and the cell, a graph of five nodes whose edges are motifs. An architecture is six
// numbers for each motif and ten for the cell, on the edges 0>1, 0>2, 1>2, 0>3, ...: 0 is no edge, n the n-th of
// kPrimitives or the n-th motif.
#pragma once

#include <array>

#include "nas/space/space.h"

namespace mixop::nas {

class HierarchicalSpace final : public Space {
 public:
  static constexpr int kMotifs = 6, kMotifNodes = 4, kCellNodes = 5, kChoices = 7;
  static constexpr size_t kMotifEdges = 6, kCellEdges = 10;
  static constexpr std::array<std::string_view, 6> kPrimitives = {
      "conv_1x1", "depthwise_conv_3x3", "sep_conv_3x3", "max_pool_3x3", "avg_pool_3x3", "identity"};

  std::string name() const override { return "hierarchical"; }
  std::string describe() const override {
    return "hierarchical motifs: 6 of 4 nodes over 6 primitives, a cell of 5 nodes over the motifs";
  }
  /// The digits of the six motifs and of the cell, separated by points.
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override { return {kChoices}; }
  // sample() is uniform: what the 1000 mutations of the paper, which begin at the identity, come to.
  /// The paper's: a uniform level, motif of it and pair of nodes take a uniform operation, which may be the old
  /// one.
  Child mutate(const Arch& arch, Random& random) const override;
  /// Of the cell with its motifs put in: their order and those not used do not count.
  ArchKey key(const Arch& arch) const override;
  double count() const override;
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  std::string draw_dot(const Arch& arch) const override;
};

}  // namespace mixop::nas
