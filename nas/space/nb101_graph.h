// The cells of NAS-Bench-101 (Ying et al. 2019) as graphs: pruning, names, paths, enumeration.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nas/space/space.h"

namespace mixop::nas {

/// Vertex 0 is the input, the last one the output; edges go from lower to higher vertices.
struct Nb101Graph {
  static constexpr int kMaxVertices = 7, kMaxEdges = 9, kOps = 3;

  int vertices = 2;
  std::array<uint8_t, kMaxVertices> out{};  ///< bit j of out[i]: an edge from i to j
  std::array<int8_t, kMaxVertices> op{};    ///< of interior vertices: 0 conv 3x3, 1 conv 1x1, 2 max pool 3x3

  bool edge(int from, int to) const { return out[static_cast<size_t>(from)] >> to & 1; }
  int edges() const {
    int n = 0;
    for (const uint8_t row : out) n += std::popcount(row);
    return n;
  }
  bool operator==(const Nb101Graph&) const = default;
};

/// The graph without the vertices that lie on no path from input to output; nothing if there is no path.
std::optional<Nb101Graph> prune(const Nb101Graph& graph);

/// The benchmark's name of a pruned graph, the same for isomorphic ones: 32 hexadecimal digits, byte for byte as
/// graph_util.hash_module of its code.
std::string nb101_hash(const Nb101Graph& pruned);
/// The same equality at a hundredth of the cost.
ArchKey nb101_key(const Nb101Graph& pruned);

/// The operation sequences of all paths from input to output, as numbers below 364: first the empty sequence, then
/// those of one operation, of two, ... (White et al. 2021). A number may occur twice.
std::vector<int> nb101_paths(const Nb101Graph& pruned);

/// The channels of every vertex of a pruned graph: the output's are divided among the interior vertices that it
/// reads, the first ones taking the remainder; any other vertex has as many as the widest interior one that reads
/// it.
std::array<int64_t, Nb101Graph::kMaxVertices> nb101_channels(const Nb101Graph& pruned, int64_t in, int64_t out);

/// How many different cells have at most `vertices` (2 to 7) vertices: 1, 7, 91, 2,532, 64,542, 423,624.
int64_t count_nb101_cells(int vertices);

}  // namespace mixop::nas
