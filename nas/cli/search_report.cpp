#include "nas/cli/search_report.h"

#include <fmt/format.h>

#include <vector>

#include "nas/genotype.h"
#include "nas/sharing/supernet_score.h"

namespace mixop::cli {
namespace {

struct Count {
  std::string cell;
  int skips = 0, operations = 0;
  /// Three quarters: the collapses that are published have 6 to 8 of 8.
  bool collapsed() const { return operations > 0 && 4 * skips >= 3 * operations; }
};

std::vector<Count> count_skips(const nas::Genotype& genotype) {
  std::vector<Count> counts;
  for (const nas::CellKind kind : {nas::CellKind::normal, nas::CellKind::reduce}) {
    Count& count = counts.emplace_back(Count{fmt::format("the {} cell", nas::cell_kind_name(kind))});
    for (const nas::Edge& edge : genotype.cell(kind).edges) {
      count.skips += edge.op == nas::CellOp::skip_connect;
      count.operations += edge.op != nas::CellOp::none;
    }
  }
  return counts;
}

}  // namespace

std::string describe_skips(const nas::MixedSpace& space, const std::string& architecture) {
  if (space.space().name() != "darts") return nas::describe_candidates(space, space.space().parse(architecture));
  std::string text = "skip connections:", warning;
  for (const Count& c : count_skips(nas::parse_genotype(architecture))) {
    text += fmt::format("{} {} of {} in {}", text.back() == ':' ? "" : ",", c.skips, c.operations, c.cell);
    if (c.collapsed())
      warning += fmt::format("warning: the search has collapsed: {} of {} operations of {} are skip connections\n",
                             c.skips, c.operations, c.cell);
  }
  return text + "\n" + warning;
}

}  // namespace mixop::cli
