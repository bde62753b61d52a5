#include "nas/search/skip_limit.h"

#include <algorithm>

#include "nas/decode.h"
#include "nas/genotype.h"

namespace mixop::nas {

int count_skips(const CellGenotype& cell) {
  return static_cast<int>(std::count_if(cell.edges.begin(), cell.edges.end(),
                                        [](const Edge& e) { return e.op == CellOp::skip_connect; }));
}

std::string decode_with_skips(const MixedSpace& space, std::vector<TableValues> strengths, int most) {
  const auto column = static_cast<size_t>(CellOp::skip_connect);
  for (;;) {
    std::string text = space.decode_text(strengths);
    const CellGenotype cell = parse_genotype(text).normal;
    if (count_skips(cell) <= most) return text;
    double* weakest = nullptr;
    for (size_t i = 0; i < cell.edges.size(); ++i) {
      if (cell.edges[i].op != CellOp::skip_connect) continue;
      const int edge = edge_count(static_cast<int>(i) / 2) + cell.edges[i].input;
      double& strength = strengths[0][static_cast<size_t>(edge) * kDartsOps.size() + column];
      if (strength > 0 && (!weakest || strength < *weakest)) weakest = &strength;
    }
    if (!weakest) return text;  // nothing else is left on these edges
    *weakest = 0;
  }
}

}  // namespace mixop::nas
