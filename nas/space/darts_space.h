// The cell space of DARTS (Liu et al. 2019): a normal and a reduction cell of four nodes, each the sum of two
// operations of two different earlier states. Per node an architecture holds three numbers: the pair of states
// ((0,1), (0,2), (1,2), (0,3), ..., as in the configuration space of NAS-Bench-301), the operation on the lower one
// and on the higher one (kDartsOps without `none`).
#pragma once

#include "nas/genotype.h"
#include "nas/space/space.h"

namespace mixop::nas {

class DartsSpace final : public Space {
 public:
  static constexpr int kNodes = 4, kOps = 7, kPairs = 10;

  std::string name() const override { return "darts"; }
  std::string describe() const override { return "DARTS cells: normal and reduction, 4 nodes, 7 operations"; }
  /// A genotype in any form of nas/genotype.h, or the name of a published one. The edges of a node come out in the
  /// order of their states.
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override { return {kPairs, kOps}; }
  /// As AmoebaNet's (Real et al. 2019) without the identity: a uniform cell, node and edge, and with equal odds
  /// another operation or another state, which the node's other edge does not read.
  Child mutate(const Arch& arch, Random& random) const override;
  /// (1 * 3 * 6 * 10 * 7^8)^2, about 10^18.
  double count() const override;
  /// cells of `scale` is the number of normal cells between the reductions.
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  std::string draw_dot(const Arch& arch) const override;
};

Genotype darts_genotype(const Arch& arch);
/// Throws mixop::Error naming what lies outside of the space.
Arch darts_arch(const Genotype& genotype);

}  // namespace mixop::nas
