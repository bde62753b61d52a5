#include "nas/space/nasnet.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>

#include "kernels/core/check.h"
#include "nas/genotype.h"

namespace mixop::nas {
namespace {

constexpr std::array<std::string_view, 13> kNasnetOps = {
    "identity",     "conv_1x3_3x1", "conv_1x7_7x1", "dil_conv_3x3", "avg_pool_3x3", "max_pool_3x3", "max_pool_5x5",
    "max_pool_7x7", "conv_1x1",     "conv_3x3",     "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"};
constexpr std::array<std::string_view, 8> kAmoebanetOps = {"identity",     "sep_conv_3x3", "sep_conv_5x5",
                                                           "sep_conv_7x7", "avg_pool_3x3", "max_pool_3x3",
                                                           "dil_conv_3x3", "conv_1x7_7x1"};

constexpr std::array<CellKind, 2> kCells = {CellKind::normal, CellKind::reduce};

// The numbers of a block.
constexpr size_t kState = 0, kOp = 2, kCombination = 4;

}  // namespace

NasnetSpace::NasnetSpace(Options options) : options_(options) {
  MIXOP_CHECK(options.blocks >= 1 && options.blocks <= 9, "space nasnet: blocks=", options.blocks,
              "; a cell has 1 to 9");
  MIXOP_CHECK(options.ops == 13 || options.ops == 8, "space nasnet: ops=", options.ops,
              "; there are 13 (NASNet) or 8 (AmoebaNet)");
}

std::span<const std::string_view> NasnetSpace::ops() const {
  if (options_.ops == 8) return kAmoebanetOps;
  return kNasnetOps;
}

std::string NasnetSpace::describe() const {
  return kernels::text("NASNet cells: normal and reduction, ", options_.blocks, " blocks, ", options_.ops,
                       options_.concat ? " operations, add or concat" : " operations, add");
}

NasnetSpace::Block NasnetSpace::block(const Arch& arch, int cell, int number) const {
  const int32_t* n = &arch[static_cast<size_t>(cell) * per_cell() + static_cast<size_t>(number) * per_block()];
  return {{n[kState], n[kOp]}, {n[kState + 1], n[kOp + 1]}, options_.concat && n[kCombination] == 1};
}

Arch NasnetSpace::parse(std::string_view text) const {
  Arch arch;
  size_t at = 0;
  const auto expect = [&](std::string_view word) {
    MIXOP_CHECK(text.substr(at, word.size()) == word, "nasnet: expected '", word, "' at character ", at, " of '",
                text, "'");
    at += word.size();
  };
  const auto element = [&](int states) {
    const size_t open = std::min(text.find('(', at), text.size());
    const std::string_view word = text.substr(at, open - at);
    const auto op = std::find(ops().begin(), ops().end(), word);
    std::string known;
    for (const std::string_view name : ops()) known += kernels::text(known.empty() ? "" : ", ", name);
    MIXOP_CHECK(op != ops().end(), "nasnet: '", word, "' at character ", at, " is no operation; there are ", known);
    at = open;
    expect("(");
    int state = -1;
    const char* const end = text.data() + text.size();
    at = static_cast<size_t>(std::from_chars(text.data() + at, end, state).ptr - text.data());
    MIXOP_CHECK(state >= 0 && state < states, "nasnet: expected a state 0 to ", states - 1, " before character ",
                at, " of '", text, "'");
    expect(")");
    return Element{state, static_cast<int>(op - ops().begin())};
  };
  for (const CellKind cell : kCells) {
    if (cell == CellKind::reduce) expect(" ");
    expect(cell_kind_name(cell));
    for (int b = 0; b < options_.blocks; ++b) {
      expect(" ");
      const Element first = element(b + 2);
      const bool concat = options_.concat && at < text.size() && text[at] == '&';
      expect(concat ? "&" : "+");
      const Element second = element(b + 2);
      arch.insert(arch.end(), {first.state, second.state, first.op, second.op});
      if (options_.concat) arch.push_back(concat);
    }
  }
  MIXOP_CHECK(at == text.size(), "nasnet: stray text from character ", at, " of '", text, "'");
  return arch;
}

std::string NasnetSpace::format(const Arch& arch) const {
  std::string text;
  for (int cell = 0; cell < 2; ++cell) {
    text += kernels::text(cell ? " " : "", cell_kind_name(kCells[static_cast<size_t>(cell)]));
    for (int b = 0; b < options_.blocks; ++b) {
      const Block k = block(arch, cell, b);
      text +=
          kernels::text(' ', ops()[static_cast<size_t>(k.first.op)], '(', k.first.state, ')', k.concat ? '&' : '+',
                        ops()[static_cast<size_t>(k.second.op)], '(', k.second.state, ')');
    }
  }
  return text;
}

bool NasnetSpace::next(const Arch& prefix, Decision& decision) const {
  if (prefix.size() >= 2 * per_cell()) return false;
  const size_t at = prefix.size() % per_cell(), number = at % per_block();
  decision.layer = static_cast<int>(at / per_block());
  decision.kind = number < kOp ? 0 : number < kCombination ? 1 : 2;
  decision.source = -1;
  decision.legal.resize(number < kOp            ? static_cast<size_t>(decision.layer) + 2
                        : number < kCombination ? ops().size()
                                                : 2);
  std::iota(decision.legal.begin(), decision.legal.end(), 0);
  return true;
}

std::vector<int> NasnetSpace::kinds() const {
  std::vector<int> sizes = {options_.blocks + 1, options_.ops};
  if (options_.concat) sizes.push_back(2);
  return sizes;
}

Child NasnetSpace::mutate(const Arch& arch, Random& random) const {
  if (random.chance(0.05)) return {.arch = arch, .what = "identity"};
  const int64_t kind = random.below(options_.concat ? 3 : 2);
  const auto cell = static_cast<size_t>(random.below(2)), b = static_cast<size_t>(random.below(options_.blocks));
  const auto element = static_cast<size_t>(random.below(2));
  Arch child = arch;
  int32_t* n = &child[cell * per_cell() + b * per_block()];
  const auto change = [&](int32_t& number, int64_t values) {
    number = static_cast<int32_t>((number + 1 + random.below(values - 1)) % values);
  };
  switch (kind) {
    case 0:
      change(n[kState + element], static_cast<int64_t>(b) + 2);
      return {.arch = child, .what = "state"};
    case 1:
      change(n[kOp + element], options_.ops);
      return {.arch = child, .what = "operation"};
    default:
      change(n[kCombination], 2);
      return {.arch = child, .what = "combination"};
  }
}

ArchKey NasnetSpace::key(const Arch& arch) const {
  Arch sorted;
  for (int cell = 0; cell < 2; ++cell)
    for (int b = 0; b < options_.blocks; ++b) {
      const Block k = block(arch, cell, b);
      const auto [low, high] = std::minmax(k.first, k.second);
      sorted.insert(sorted.end(), {low.state, low.op, high.state, high.op, k.concat});
    }
  return hash_numbers(sorted);
}

double NasnetSpace::count() const {
  double cell = 1;
  for (int b = 0; b < options_.blocks; ++b)
    cell *= std::pow((b + 2.0) * options_.ops, 2) * (options_.concat ? 2 : 1);
  return cell * cell;
}

std::string NasnetSpace::draw_dot(const Arch& arch) const {
  std::string dot;
  for (int cell = 0; cell < 2; ++cell) {
    dot += "digraph " + std::string(cell_kind_name(kCells[static_cast<size_t>(cell)])) +
           " {\n  rankdir=LR\n  node [shape=box]\n  0 [label=\"c_{k-2}\"]\n  1 [label=\"c_{k-1}\"]\n";
    std::vector<bool> used(static_cast<size_t>(options_.blocks) + 2);
    for (int b = 0; b < options_.blocks; ++b) {
      const Block k = block(arch, cell, b);
      dot += kernels::text("  ", b + 2, " [label=\"", b, k.concat ? " concat" : " add", "\"]\n");
      for (const Element& e : {k.first, k.second}) {
        used[static_cast<size_t>(e.state)] = true;
        dot += kernels::text("  ", e.state, " -> ", b + 2, " [label=\"", ops()[static_cast<size_t>(e.op)], "\"]\n");
      }
    }
    dot += "  out [label=\"c_{k}\"]\n";
    for (size_t s = 0; s < used.size(); ++s)
      if (!used[s]) dot += kernels::text("  ", s, " -> out\n");
    dot += "}\n";
  }
  return dot;
}

}  // namespace mixop::nas
