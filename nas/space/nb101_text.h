// Text forms of NAS-Bench-101 cells.
#pragma once

#include "nas/space/nb101_graph.h"

namespace mixop::nas {

/// "EDGES:OPS": the upper triangle of the matrix of n vertices (2 to 7) row by row as bits, then the n - 2
/// operations as digits, such as "1:" or "111011:02"; or the benchmark's own {"module_adjacency": [[0, 1], ...],
/// "module_operations": ["input", "conv3x3-bn-relu", ..., "output"]}. Throws mixop::Error naming what is wrong;
/// edges are not counted and paths not looked for.
Nb101Graph parse_nb101(std::string_view text);
/// The short form, as parse_nb101() reads it.
std::string format_nb101(const Nb101Graph& graph);
/// The benchmark's own form.
std::string format_nb101_json(const Nb101Graph& graph);

/// "input", "conv3x3-bn-relu", ..., "output" as the benchmark calls the vertices.
std::string_view nb101_label(const Nb101Graph& graph, int vertex);

}  // namespace mixop::nas
