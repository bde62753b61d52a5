// From continuous architecture weights to a genotype (DARTS section 2.4; `genotype()` of its search network).
#pragma once

#include <span>

#include "nas/genotype.h"

namespace mixop::nas {

/// Number of edges of a cell with that many nodes: node n can read its n+2 earlier states, so nodes*(nodes+3)/2.
constexpr int edge_count(int nodes) { return nodes * (nodes + 3) / 2; }

/// Chooses a cell from edge weights [edges, 8], row-major, edges node by node (node 0: states 0, 1; node 1: states
/// 0, 1, 2; ...), columns in the order of kDartsOps. Each node keeps the two incoming edges whose largest weight
/// other than `none` is highest, strongest first; an edge's operation is the one of that weight. Ties go to the
/// lower input and the lower column. The concat is every node. Throws mixop::Error for a wrong size or a value that
/// is not finite.
CellGenotype choose_cell(std::span<const double> weights, int nodes = 4);

/// choose_cell on the softmax, row by row, of two alpha tables [edges, 8] with edges = edge_count(nodes). `none`
/// takes part in the softmax, not in the choice.
Genotype decode(std::span<const double> alphas_normal, std::span<const double> alphas_reduce, int nodes = 4);

}  // namespace mixop::nas
