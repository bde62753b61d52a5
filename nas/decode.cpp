#include "nas/decode.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

constexpr std::size_t kOps = kDartsOps.size();

void check_table(std::span<const double> table, int nodes, const char* what) {
  MIXOP_CHECK(nodes >= 1, "decode: a cell needs at least 1 node, not ", nodes);
  const std::size_t edges = edge_count(nodes);
  MIXOP_CHECK(table.size() == edges * kOps, "decode: ", what, " has ", table.size(), " values, expected ", edges,
              " edges x ", kOps, " operations = ", edges * kOps, " for ", nodes, " nodes");
  for (std::size_t i = 0; i < table.size(); ++i)
    MIXOP_CHECK(std::isfinite(table[i]), "decode: ", what, ", edge ", i / kOps, ", ", op_name(kDartsOps[i % kOps]),
                " is ", table[i], "; expected a finite number");
}

std::vector<double> softmax_rows(std::span<const double> alphas) {
  std::vector<double> weights(alphas.begin(), alphas.end());
  for (std::size_t row = 0; row < weights.size(); row += kOps) {
    const std::span<double> w(weights.data() + row, kOps);
    const double largest = *std::max_element(w.begin(), w.end());
    for (double& v : w) v = std::exp(v - largest);
    const double sum = std::accumulate(w.begin(), w.end(), 0.0);
    for (double& v : w) v /= sum;
  }
  return weights;
}

CellGenotype decode_cell(std::span<const double> alphas, int nodes, const char* what) {
  check_table(alphas, nodes, what);
  return choose_cell(softmax_rows(alphas), nodes);
}

}  // namespace

CellGenotype choose_cell(std::span<const double> weights, int nodes) {
  check_table(weights, nodes, "the weight table");
  CellGenotype cell;
  const double* row = weights.data();  // first edge of the node
  for (int node = 0; node < nodes; ++node) {
    const int inputs = node + 2;
    // Column 0 is `none`; max_element keeps the first of equal values.
    const auto best = [row](int input) {
      return std::max_element(row + input * kOps + 1, row + (input + 1) * kOps);
    };
    std::vector<int> rank(inputs);
    std::iota(rank.begin(), rank.end(), 0);
    std::stable_sort(rank.begin(), rank.end(), [&](int a, int b) { return *best(a) > *best(b); });
    for (int input : {rank[0], rank[1]})
      cell.edges.push_back({kDartsOps[best(input) - (row + input * kOps)], input});
    cell.concat.push_back(node + 2);
    row += inputs * kOps;
  }
  return cell;
}

Genotype decode(std::span<const double> alphas_normal, std::span<const double> alphas_reduce, int nodes) {
  return {decode_cell(alphas_normal, nodes, "the normal alpha table"),
          decode_cell(alphas_reduce, nodes, "the reduction alpha table"),
          {}};
}

}  // namespace mixop::nas
