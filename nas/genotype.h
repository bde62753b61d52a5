// Genotypes of the DARTS cell space (Liu et al. 2019): two cells, each a small graph in which every node is the sum
// of two operations. States of a cell are numbered 0 = output of the cell before last, 1 = output of the last cell,
// 2, 3, ... = the nodes in order; a cell's output is the channel concatenation of the states listed in `concat`.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mixop::nas {

/// Operations of an edge. The first eight are the DARTS primitives; the last two occur only in the cells of NASNet
/// and AmoebaNet. conv_7x1_1x7 is the darts operation: ReLU, conv 1x7, conv 7x1, BN.
enum class CellOp {
  none,
  max_pool_3x3,
  avg_pool_3x3,
  skip_connect,
  sep_conv_3x3,
  sep_conv_5x5,
  dil_conv_3x3,
  dil_conv_5x5,
  sep_conv_7x7,
  conv_7x1_1x7,
};

/// The primitives of the DARTS search space in the order of the columns of an alpha table.
inline constexpr std::array<CellOp, 8> kDartsOps = {
    CellOp::none,         CellOp::max_pool_3x3, CellOp::avg_pool_3x3, CellOp::skip_connect,
    CellOp::sep_conv_3x3, CellOp::sep_conv_5x5, CellOp::dil_conv_3x3, CellOp::dil_conv_5x5};

/// The name used in genotype texts, such as "sep_conv_3x3".
std::string_view op_name(CellOp op);

/// The operation of that exact name. Throws mixop::Error listing the known names.
CellOp parse_op(std::string_view name);

/// A normal cell keeps the resolution; in a reduction cell edges from states 0 and 1 have stride 2.
enum class CellKind { normal, reduce };

/// "normal" or "reduce", as in the keywords of a genotype text.
std::string_view cell_kind_name(CellKind kind);

struct Edge {
  CellOp op;
  int input;  // state that the operation reads
  bool operator==(const Edge&) const = default;
};

struct CellGenotype {
  std::vector<Edge> edges;  // edges 2n and 2n+1 enter state n+2
  std::vector<int> concat;  // states of the output, in channel order
  int nodes() const { return static_cast<int>(edges.size()) / 2; }
  bool operator==(const CellGenotype&) const = default;
};

struct Genotype {
  CellGenotype normal, reduce;
  std::string name;  // label for tables and pictures; may be empty
  const CellGenotype& cell(CellKind kind) const { return kind == CellKind::normal ? normal : reduce; }
};

/// Equal cells; names are labels and do not count.
inline bool operator==(const Genotype& a, const Genotype& b) {
  return a.normal == b.normal && a.reduce == b.reduce;
}

/// What is wrong with a cell, and where: the edge or concat entry at fault, or neither for the cell as a whole.
struct CellFault {
  std::string message;
  std::optional<std::size_t> edge, concat;
};

/// The first fault of a cell, or nothing. A valid cell has two edges a node, each reading an earlier state (twice
/// the same is allowed), and a non-empty concat of distinct existing states; a reduction cell does not concatenate
/// its inputs, whose maps are larger than those of the nodes.
std::optional<CellFault> find_fault(const CellGenotype& cell, CellKind kind);

/// Throws mixop::Error naming the cell and the edge or concat entry of the first fault.
void validate(const Genotype& genotype);

/// Reads one genotype, either as Python text
///   NAME = Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=[2,
///   3])
/// or, if the text starts with '{', as the JSON of format_json (with an optional "name"). In Python text the prefix
/// `NAME =` is optional, keywords come in any order, quotes are single or double, white space is free, edges may be
/// grouped by node ([[(..), (..)], [..]]) and concat is a list, a tuple or a range. Throws mixop::Error with line
/// and column (JSON: the entry), and what was expected there. The result is valid.
Genotype parse_genotype(std::string_view text);

/// The last `Genotype(...)` inside a longer text, such as a search log; `source` names the text in errors.
Genotype parse_last_genotype(std::string_view text, std::string_view source);

/// DARTS form, one line, concat as lists:
/// Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=[2, 3, 4, 5], reduce=[...], reduce_concat=[2, 3, 4,
/// 5])
std::string format_genotype(const Genotype& genotype);

/// {"normal":[["sep_conv_3x3",0],...],"normal_concat":[2,3,4,5],"reduce":[...],"reduce_concat":[2,3,4,5]}
std::string format_json(const Genotype& genotype);

}  // namespace mixop::nas
