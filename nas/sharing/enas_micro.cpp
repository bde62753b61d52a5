#include "nas/sharing/enas_micro.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/core/check.h"
#include "nas/genotype.h"
#include "nas/space/numbers.h"

namespace mixop::nas {

const char* const EnasMicroSpace::kPublished =
    "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1";

std::string EnasMicroSpace::describe() const { return "ENAS cells: normal and reduction, 5 nodes, 5 operations"; }

EnasMicroSpace::Element EnasMicroSpace::element(const Arch& arch, int cell, int node, int slot) {
  const auto at = static_cast<size_t>(cell * kCellNumbers + 4 * node + 2 * slot);
  return {arch[at], arch[at + 1]};
}

std::array<bool, EnasMicroSpace::kStates> EnasMicroSpace::loose_ends(const Arch& arch, int cell) {
  std::array<bool, kStates> loose;
  loose.fill(true);
  for (int n = 0; n < kNodes; ++n)
    for (int slot = 0; slot < 2; ++slot) loose[static_cast<size_t>(element(arch, cell, n, slot).state)] = false;
  return loose;
}

Arch EnasMicroSpace::parse(std::string_view text) const {
  Arch arch = read_numbers(name(), text);
  validate(arch);
  return arch;
}

std::string EnasMicroSpace::format(const Arch& arch) const { return write_numbers(arch); }

std::optional<std::string> EnasMicroSpace::find_fault(const Arch& arch) const {
  if (arch.size() != 2 * kCellNumbers)
    return kernels::text("has ", arch.size(), " numbers, not ", 2 * kCellNumbers,
                         ": (input operation input operation) of 5 nodes, normal cell first");
  for (int i = 0; i < 2 * kCellNumbers; ++i) {
    const int value = arch[static_cast<size_t>(i)], node = i % kCellNumbers / 4;
    const int most = i % 2 ? static_cast<int>(kOps.size()) - 1 : node + 1;
    if (value < 0 || value > most)
      return kernels::text(i % 2 ? "operation " : "input ", i % 4 / 2 + 1, " of node ", node, " of the ",
                           cell_kind_name(i < kCellNumbers ? CellKind::normal : CellKind::reduce), " cell is ",
                           value, ", not 0 to ", most);
  }
  return {};
}

bool EnasMicroSpace::next(const Arch& prefix, Decision& decision) const {
  if (prefix.size() >= 2 * kCellNumbers) return false;
  decision.layer = static_cast<int>(prefix.size()) % kCellNumbers / 4;
  decision.kind = static_cast<int>(prefix.size()) % 2;
  decision.source = -1;
  decision.legal.resize(decision.kind ? kOps.size() : static_cast<size_t>(decision.layer) + 2);
  std::iota(decision.legal.begin(), decision.legal.end(), 0);
  return true;
}

ArchKey EnasMicroSpace::key(const Arch& arch) const {
  Arch sorted;
  for (int cell = 0; cell < 2; ++cell)
    for (int n = 0; n < kNodes; ++n) {
      const auto [low, high] = std::minmax({element(arch, cell, n, 0), element(arch, cell, n, 1)});
      sorted.insert(sorted.end(), {low.state, low.op, high.state, high.op});
    }
  return hash_numbers(sorted);
}

double EnasMicroSpace::count() const {
  double cell = 1;
  for (int n = 0; n < kNodes; ++n) cell *= std::pow((n + 2.0) * static_cast<double>(kOps.size()), 2);
  return cell * cell;
}

std::string EnasMicroSpace::draw_dot(const Arch& arch) const {
  std::string dot;
  for (int cell = 0; cell < 2; ++cell) {
    dot += "digraph " + std::string(cell_kind_name(cell ? CellKind::reduce : CellKind::normal)) +
           " {\n  rankdir=LR\n  node [shape=box]\n  0 [label=\"c_{k-2}\"]\n  1 [label=\"c_{k-1}\"]\n";
    for (int n = 0; n < kNodes; ++n) {
      dot += kernels::text("  ", n + 2, " [label=\"", n, "\"]\n");
      for (int slot = 0; slot < 2; ++slot) {
        const Element e = element(arch, cell, n, slot);
        dot += kernels::text("  ", e.state, " -> ", n + 2, " [label=\"", kOps[static_cast<size_t>(e.op)], "\"]\n");
      }
    }
    dot += "  out [label=\"c_{k}\"]\n";
    const auto loose = loose_ends(arch, cell);
    for (size_t s = 0; s < loose.size(); ++s)
      if (loose[s]) dot += kernels::text("  ", s, " -> out\n");
    dot += "}\n";
  }
  return dot;
}

NetworkOutputs EnasMicroSpace::build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                                     const NetworkScale& scale, bool training) const {
  EnasMicroOptions o;
  o.layers = 3 * scale.cells;
  o.channels = scale.channels;
  o.classes = scale.classes;
  o.height = scale.height;
  o.width = scale.width;
  o.image_channels = scale.image_channels;
  o.auxiliary = false;
  o.keep = 1;
  return build_enas_micro_network(g, images, stores, o, arch, training);
}

std::vector<int32_t> enas_micro_choices(const Arch& arch) {
  EnasMicroSpace().validate(arch);
  std::vector<int32_t> values;
  for (int cell = 0; cell < 2; ++cell) {
    for (int n = 0; n < EnasMicroSpace::kNodes; ++n)
      for (int slot = 0; slot < 2; ++slot) {
        const auto e = EnasMicroSpace::element(arch, cell, n, slot);
        values.push_back(e.state * static_cast<int>(EnasMicroSpace::kOps.size()) + e.op);
      }
    for (const bool loose : EnasMicroSpace::loose_ends(arch, cell)) values.push_back(loose);
  }
  return values;
}

EnasMicroOptions EnasMicroOptions::final_network() {
  EnasMicroOptions o;
  o.layers = 15;
  o.channels = 36;
  o.keep = 0.8;
  o.drop_path = true;
  return o;
}

void EnasMicroOptions::check() const {
  MIXOP_CHECK(layers >= 1 && channels >= 2 && classes >= 2 && image_channels >= 1,
              "enas-micro: layers and image channels must be at least 1, channels and classes at least 2");
  MIXOP_CHECK(channels % 2 == 0, "enas-micro: ", channels,
              " channels: a factorized reduction makes halves of them, use an even number");
  MIXOP_CHECK(height >= 4 && width >= 4 && height % 4 == 0 && width % 4 == 0, "enas-micro: images of ", height, "x",
              width, " pixels: height and width must be divisible by 4; pad or resize the images");
  MIXOP_CHECK(keep > 0 && keep <= 1, "enas-micro: the keep probability of dropout is ", keep, ", not in (0, 1]");
}

}  // namespace mixop::nas
