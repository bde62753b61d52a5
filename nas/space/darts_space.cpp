#include "nas/space/darts_space.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/core/check.h"
#include "nas/draw.h"
#include "nas/genotypes_published.h"
#include "nas/network.h"

namespace mixop::nas {
namespace {

constexpr size_t kPerNode = 3, kPerCell = kPerNode * DartsSpace::kNodes;

// Pairs low < high of states: the number of one is that of all pairs with a lower high end, plus its low end.
struct Pair {
  int low, high;
};
int32_t number_of(Pair p) { return p.high * (p.high - 1) / 2 + p.low; }
Pair pair_of(int32_t number) {
  int high = 1;
  while (number_of({0, high + 1}) <= number) ++high;
  return {number - number_of({0, high}), high};
}

CellOp op_of(int32_t number) { return kDartsOps[static_cast<size_t>(number) + 1]; }

CellGenotype decode(const Arch& arch, size_t from) {
  CellGenotype cell;
  for (size_t node = 0; node < DartsSpace::kNodes; ++node) {
    const int32_t* n = &arch[from + kPerNode * node];
    const Pair p = pair_of(n[0]);
    cell.edges.push_back({op_of(n[1]), p.low});
    cell.edges.push_back({op_of(n[2]), p.high});
    cell.concat.push_back(static_cast<int>(node) + 2);
  }
  return cell;
}

void encode(const CellGenotype& cell, CellKind kind, Arch& arch) {
  const std::string_view which = cell_kind_name(kind);
  const std::vector<int> all = {2, 3, 4, 5};
  MIXOP_CHECK(cell.nodes() == DartsSpace::kNodes && cell.concat == all, "darts: the ", which,
              " cell has not 4 nodes that are all concatenated");
  for (size_t node = 0; node < DartsSpace::kNodes; ++node) {
    Edge low = cell.edges[2 * node], high = cell.edges[2 * node + 1];
    if (low.input > high.input) std::swap(low, high);
    MIXOP_CHECK(low.input != high.input, "darts: node ", node, " of the ", which, " cell reads state ", low.input,
                " twice, this space has two different states");
    arch.push_back(number_of({low.input, high.input}));
    for (const Edge& edge : {low, high}) {
      const auto op = std::find(kDartsOps.begin() + 1, kDartsOps.end(), edge.op);
      MIXOP_CHECK(op != kDartsOps.end(), "darts: node ", node, " of the ", which, " cell has ", op_name(edge.op),
                  ", which is no operation of this space");
      arch.push_back(static_cast<int32_t>(op - kDartsOps.begin()) - 1);
    }
  }
}

}  // namespace

Genotype darts_genotype(const Arch& arch) { return {decode(arch, 0), decode(arch, kPerCell), ""}; }

Arch darts_arch(const Genotype& genotype) {
  Arch arch;
  encode(genotype.normal, CellKind::normal, arch);
  encode(genotype.reduce, CellKind::reduce, arch);
  return arch;
}

Arch DartsSpace::parse(std::string_view text) const { return darts_arch(load_genotype(std::string(text))); }

std::string DartsSpace::format(const Arch& arch) const { return format_genotype(darts_genotype(arch)); }

bool DartsSpace::next(const Arch& prefix, Decision& decision) const {
  if (prefix.size() >= 2 * kPerCell) return false;
  const auto node = static_cast<int>(prefix.size() % kPerCell / kPerNode);
  decision.kind = prefix.size() % kPerNode == 0 ? 0 : 1;
  decision.layer = node;
  decision.source = -1;
  decision.legal.resize(decision.kind == 0 ? static_cast<size_t>(number_of({0, node + 2})) : kOps);
  std::iota(decision.legal.begin(), decision.legal.end(), 0);
  return true;
}

Child DartsSpace::mutate(const Arch& arch, Random& random) const {
  Arch child = arch;
  const bool input = random.chance(0.5);
  const size_t cell = static_cast<size_t>(random.below(2)) * kPerCell;
  // Node 0 reads both inputs of the cell: it has no other state to turn to.
  const size_t node = static_cast<size_t>(input ? 1 + random.below(kNodes - 1) : random.below(kNodes));
  const auto edge = static_cast<size_t>(random.below(2));
  int32_t* numbers = &child[cell + kPerNode * node];
  if (!input) {
    numbers[1 + edge] = static_cast<int32_t>((numbers[1 + edge] + 1 + random.below(kOps - 1)) % kOps);
    return {.arch = child, .what = "operation"};
  }
  const Pair old = pair_of(numbers[0]);
  const int kept = edge == 0 ? old.high : old.low;
  auto state = static_cast<int>(random.below(static_cast<int64_t>(node)));  // of those that it may turn to
  for (const int taken : {old.low, old.high}) state += state >= taken;
  // The operations stay with their edges.
  const int32_t kept_op = numbers[edge == 0 ? 2 : 1], moved_op = numbers[1 + edge];
  numbers[0] = number_of({std::min(kept, state), std::max(kept, state)});
  numbers[1] = state < kept ? moved_op : kept_op;
  numbers[2] = state < kept ? kept_op : moved_op;
  return {.arch = child, .what = "input"};
}

double DartsSpace::count() const { return std::pow(180.0 * std::pow(7.0, 8), 2); }

NetworkOutputs DartsSpace::build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                                 const NetworkScale& scale, bool training) const {
  NetworkOptions o{.genotype = darts_genotype(arch), .channels = scale.channels, .classes = scale.classes};
  o.cells = 3 * scale.cells + 2;
  o.height = scale.height;
  o.width = scale.width;
  o.image_channels = scale.image_channels;
  return build_network(g, images, stores, o, training);
}

std::string DartsSpace::draw_dot(const Arch& arch) const {
  const Genotype genotype = darts_genotype(arch);
  return nas::draw_dot(genotype, CellKind::normal) + nas::draw_dot(genotype, CellKind::reduce);
}

}  // namespace mixop::nas
