#include "nas/cli/search_report.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "nas/genotype.h"

namespace mixop::cli {
namespace {

struct Count {
  std::string cell;
  int skips = 0, operations = 0;
  /// Three quarters: the collapses that are published have 6 to 8 of 8.
  bool collapsed() const { return operations > 0 && 4 * skips >= 3 * operations; }
};

int occurrences(const std::string& text, std::string_view word) {
  int count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

std::vector<Count> count_skips(const std::string& architecture) {
  if (!architecture.starts_with("Genotype(")) {
    Count all{"the cell"};
    for (const char* op : {"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"})
      all.operations += occurrences(architecture, op);
    all.skips = occurrences(architecture, "skip_connect");
    return {all};
  }
  std::vector<Count> counts;
  const nas::Genotype genotype = nas::parse_genotype(architecture);
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

std::string describe_skips(const std::string& architecture) {
  std::string text = "skip connections:", warning;
  for (const Count& c : count_skips(architecture)) {
    text += fmt::format("{} {} of {} in {}", text.back() == ':' ? "" : ",", c.skips, c.operations, c.cell);
    if (c.collapsed())
      warning += fmt::format("warning: the search has collapsed: {} of {} operations of {} are skip connections\n",
                             c.skips, c.operations, c.cell);
  }
  return text + "\n" + warning;
}

}  // namespace mixop::cli
