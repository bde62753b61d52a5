// The cell space of NAS-Bench-201 (Dong and Yang 2020): four nodes, each the sum of one operation from every
// earlier node. An architecture is six numbers, the operations on the edges 0>1, 0>2, 1>2, 0>3, 1>3, 2>3.
#pragma once

#include <array>

#include "nas/space/space.h"

namespace mixop::nas {

class Nb201Space final : public Space {
 public:
  static constexpr std::array<std::string_view, 5> kOps = {"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3",
                                                           "avg_pool_3x3"};
  struct NodePair {
    int from, to;
  };
  static constexpr std::array<NodePair, 6> kEdges = {{{0, 1}, {0, 2}, {1, 2}, {0, 3}, {1, 3}, {2, 3}}};

  std::string name() const override { return "nb201"; }
  std::string describe() const override { return "NAS-Bench-201 cells: 6 edges, 5 operations"; }
  /// The official string |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, or six digits (operations 0 to 4 in kEdges order).
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override { return {5}; }
  /// As in the reference code: a uniform node, a uniform edge into it, a uniform other operation.
  Child mutate(const Arch& arch, Random& random) const override;
  /// Equal where the benchmark's own canonical string (get_unique_str) is.
  ArchKey key(const Arch& arch) const override;
  double count() const override { return 15625; }
  /// 6,466 as published.
  std::optional<int64_t> count_classes() const override;
  /// kPath: the operation sequences of the paths 0>3, 0>1>3, 0>2>3, 0>1>2>3 (5+25+25+125 features); a path with a
  /// `none` on it sets no feature (White et al. 2021).
  size_t features(Encoding encoding) const override;
  void encode(const Arch& arch, Encoding encoding, std::span<float> to) const override;
  /// scale.cells cells in each of the three stages (5 as published, with 16 channels).
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  std::string draw_dot(const Arch& arch) const override;
};

/// The output of the cell depends on its input: some path has no `none`. 341 cells have no such path.
bool nb201_is_connected(const Arch& arch);

}  // namespace mixop::nas
