#include "nas/space/hierarchical.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

constexpr size_t kMotifNumbers = HierarchicalSpace::kMotifs * HierarchicalSpace::kMotifEdges;
constexpr size_t kNumbers = kMotifNumbers + HierarchicalSpace::kCellEdges;

// Where the numbers of a graph begin: of the motifs and, as the last, of the cell.
size_t begin_of(size_t graph) { return graph * HierarchicalSpace::kMotifEdges; }

std::string draw_graph(const Arch& arch, size_t graph) {
  const bool cell = graph == HierarchicalSpace::kMotifs;
  std::string dot = cell ? "digraph cell" : kernels::text("digraph motif", graph + 1);
  dot += " {\n  rankdir=LR\n  node [shape=box]\n";
  size_t at = begin_of(graph);
  for (int to = 1; to < (cell ? HierarchicalSpace::kCellNodes : HierarchicalSpace::kMotifNodes); ++to)
    for (int from = 0; from < to; ++from, ++at) {
      if (arch[at] == 0) continue;
      dot += kernels::text("  ", from, " -> ", to, " [label=\"");
      dot += cell ? kernels::text("motif", arch[at])
                  : std::string(HierarchicalSpace::kPrimitives[static_cast<size_t>(arch[at]) - 1]);
      dot += "\"]\n";
    }
  return dot + "}\n";
}

}  // namespace

Arch HierarchicalSpace::parse(std::string_view text) const {
  Arch arch;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool point = at % (kMotifEdges + 1) == kMotifEdges && arch.size() <= kMotifNumbers;
    MIXOP_CHECK(point ? text[at] == '.' : text[at] >= '0' && text[at] <= '6', "hierarchical: '", text,
                "': expected ", point ? "a point" : "a digit 0 to 6", " at character ", at);
    if (!point) arch.push_back(text[at] - '0');
  }
  MIXOP_CHECK(arch.size() == kNumbers, "hierarchical: '", text, "' has ", arch.size(),
              " digits; six groups of 6 and one of 10 are needed");
  return arch;
}

std::string HierarchicalSpace::format(const Arch& arch) const {
  std::string text;
  for (size_t i = 0; i < arch.size(); ++i) {
    if (i > 0 && i <= kMotifNumbers && i % kMotifEdges == 0) text += '.';
    text += static_cast<char>('0' + arch[i]);
  }
  return text;
}

bool HierarchicalSpace::next(const Arch& prefix, Decision& decision) const {
  if (prefix.size() >= kNumbers) return false;
  decision = {.kind = 0, .legal = {0, 1, 2, 3, 4, 5, 6}};
  decision.layer = static_cast<int>(std::min(prefix.size(), kMotifNumbers) / kMotifEdges);
  return true;
}

Child HierarchicalSpace::mutate(const Arch& arch, Random& random) const {
  Arch child = arch;
  const bool cell = random.chance(0.5);
  const size_t graph = cell ? kMotifs : static_cast<size_t>(random.below(kMotifs));
  const auto edge = static_cast<size_t>(random.below(cell ? kCellEdges : kMotifEdges));
  child[begin_of(graph) + edge] = static_cast<int32_t>(random.below(kChoices));
  return {.arch = child, .what = cell ? "cell" : "motif"};
}

ArchKey HierarchicalSpace::key(const Arch& arch) const {
  Arch expanded;
  for (size_t e = 0; e < kCellEdges; ++e) {
    const int32_t motif = arch[kMotifNumbers + e];
    if (motif == 0) expanded.push_back(-1);
    for (size_t i = 0; motif > 0 && i < kMotifEdges; ++i)
      expanded.push_back(arch[begin_of(static_cast<size_t>(motif) - 1) + i]);
  }
  return hash_numbers(expanded);
}

double HierarchicalSpace::count() const { return std::pow(kChoices, kNumbers); }

std::string HierarchicalSpace::draw_dot(const Arch& arch) const {
  std::string dot;
  for (size_t graph = 0; graph <= kMotifs; ++graph) dot += draw_graph(arch, graph);
  return dot;
}

}  // namespace mixop::nas
