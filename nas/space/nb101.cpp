#include "nas/space/nb101.h"

#include <algorithm>

#include "kernels/core/check.h"
#include "nas/space/nb101_text.h"

namespace mixop::nas {
namespace {

constexpr int kVertices = Nb101Graph::kMaxVertices, kMaxEdges = Nb101Graph::kMaxEdges;
constexpr size_t kEdgeSlots = Nb101Space::kEdgeSlots, kOpSlots = Nb101Space::kOpSlots;

struct Slot {
  int from, to;
};
const std::array<Slot, kEdgeSlots> kSlots = [] {
  std::array<Slot, kEdgeSlots> slots{};
  size_t n = 0;
  for (int from = 0; from < kVertices; ++from)
    for (int to = from + 1; to < kVertices; ++to) slots[n++] = {from, to};
  return slots;
}();

// The graph whose edges are the first numbers of `arch`; the missing ones are absent.
Nb101Graph raw_graph(const Arch& arch) {
  Nb101Graph g;
  g.vertices = kVertices;
  for (size_t s = 0; s < std::min(arch.size(), kEdgeSlots); ++s)
    if (arch[s] != 0) g.out[static_cast<size_t>(kSlots[s].from)] |= static_cast<uint8_t>(1u << kSlots[s].to);
  for (size_t v = 0; kEdgeSlots + v < arch.size(); ++v) g.op[v + 1] = static_cast<int8_t>(arch[kEdgeSlots + v]);
  return g;
}

bool is_valid(const Nb101Graph& raw) {
  const auto pruned = prune(raw);
  return pruned && pruned->edges() <= kMaxEdges;
}

// Whether edges from slot `free` on can be chosen so that the graph is valid. Edges only ever add to what lies on a
// path, so the fewest will do: none, or those of one path.
bool can_be_valid(const Nb101Graph& g, size_t free) {
  if (const auto pruned = prune(g)) return pruned->edges() <= kMaxEdges;
  for (unsigned interior = 0; interior < 1u << (kVertices - 2); ++interior) {
    Nb101Graph with = g;
    bool possible = true;
    for (int from = 0, to = 1; to < kVertices; ++to) {
      if (to < kVertices - 1 && !(interior >> (to - 1) & 1)) continue;
      const size_t slot = static_cast<size_t>(from * (2 * kVertices - from - 1) / 2 + to - from - 1);
      possible = possible && (slot >= free || g.edge(from, to));
      with.out[static_cast<size_t>(from)] |= static_cast<uint8_t>(1u << to);
      from = to;
    }
    if (possible && is_valid(with)) return true;
  }
  return false;
}

Arch random_arch(Random& random) {
  Arch arch(kEdgeSlots + kOpSlots);
  const uint32_t bits = random.word();
  for (size_t s = 0; s < kEdgeSlots; ++s) arch[s] = static_cast<int32_t>(bits >> s & 1);
  for (size_t v = 0; v < kOpSlots; ++v) arch[kEdgeSlots + v] = static_cast<int32_t>(random.below(Nb101Graph::kOps));
  return arch;
}

}  // namespace

Nb101Graph nb101_graph(const Arch& arch) {
  const auto pruned = prune(raw_graph(arch));
  MIXOP_CHECK(pruned, "nb101: no path leads from the input to the output");
  return *pruned;
}

Arch Nb101Space::parse(std::string_view text) const {
  const Nb101Graph g = parse_nb101(text);
  // The output becomes vertex 6; the others keep their numbers.
  const auto place = [&](int v) { return v == g.vertices - 1 ? kVertices - 1 : v; };
  Arch arch(kEdgeSlots + kOpSlots, 0);
  for (int from = 0; from < g.vertices; ++from)
    for (int to = from + 1; to < g.vertices; ++to)
      for (size_t s = 0; s < kEdgeSlots; ++s)
        if (g.edge(from, to) && kSlots[s].from == place(from) && kSlots[s].to == place(to)) arch[s] = 1;
  for (int v = 1; v < g.vertices - 1; ++v)
    arch[kEdgeSlots + static_cast<size_t>(v) - 1] = g.op[static_cast<size_t>(v)];
  validate(arch);
  return arch;
}

std::string Nb101Space::format(const Arch& arch) const { return format_nb101(raw_graph(arch)); }

std::optional<std::string> Nb101Space::find_fault(const Arch& arch) const {
  if (arch.size() != kEdgeSlots + kOpSlots) return kernels::text("has ", arch.size(), " numbers, not 26");
  for (size_t i = 0; i < arch.size(); ++i)
    if (arch[i] < 0 || arch[i] > (i < kEdgeSlots ? 1 : 2))
      return kernels::text(i < kEdgeSlots ? "edge " : "operation ", i < kEdgeSlots ? i : i - kEdgeSlots, " is ",
                           arch[i], ", not 0 to ", i < kEdgeSlots ? 1 : 2);
  const auto pruned = prune(raw_graph(arch));
  if (!pruned) return "no path leads from the input to the output";
  if (pruned->edges() > kMaxEdges) return kernels::text("has ", pruned->edges(), " edges, at most 9 are allowed");
  return {};
}

bool Nb101Space::next(const Arch& prefix, Decision& decision) const {
  const size_t at = prefix.size();
  decision.source = -1;
  decision.legal.clear();
  if (at < kEdgeSlots) {
    decision.kind = 0;
    decision.layer = kSlots[at].to;
    Nb101Graph g = raw_graph(prefix);
    if (can_be_valid(g, at + 1)) decision.legal.push_back(0);
    g.out[static_cast<size_t>(kSlots[at].from)] |= static_cast<uint8_t>(1u << kSlots[at].to);
    if (can_be_valid(g, at + 1)) decision.legal.push_back(1);
    return true;
  }
  if (at >= kEdgeSlots + kOpSlots) return false;
  decision.kind = 1;
  decision.layer = static_cast<int>(at - kEdgeSlots) + 1;
  decision.legal = {0, 1, 2};
  return true;
}

Arch Nb101Space::sample(Random& random) const {
  for (;;) {
    Arch arch = random_arch(random);
    if (is_valid(raw_graph(arch))) return arch;
  }
}

Child Nb101Space::mutate(const Arch& arch, Random& random) const {
  for (;;) {
    Arch child = arch;
    for (size_t s = 0; s < kEdgeSlots; ++s)
      if (random.chance(1.0 / kVertices)) child[s] = 1 - child[s];
    for (size_t s = kEdgeSlots; s < child.size(); ++s)
      if (random.chance(1.0 / kOpSlots)) child[s] = static_cast<int32_t>((child[s] + 1 + random.below(2)) % 3);
    if (is_valid(raw_graph(child))) return {child};
  }
}

std::vector<Arch> Nb101Space::neighbours(const Arch& arch) const {
  std::vector<Arch> all;
  for (size_t s = 0; s < arch.size(); ++s)
    for (int32_t value = 0; value < (s < kEdgeSlots ? 2 : 3); ++value) {
      if (value == arch[s]) continue;
      Arch other = arch;
      other[s] = value;
      if (is_valid(raw_graph(other))) all.push_back(std::move(other));
    }
  return all;
}

ArchKey Nb101Space::key(const Arch& arch) const { return nb101_key(nb101_graph(arch)); }

double Nb101Space::count() const {
  static const double total = [] {
    int64_t matrices = 0;
    Nb101Graph g;
    g.vertices = kVertices;
    for (uint32_t bits = 0; bits < 1u << kEdgeSlots; ++bits) {
      g.out.fill(0);
      for (size_t s = 0; s < kEdgeSlots; ++s)
        g.out[static_cast<size_t>(kSlots[s].from)] |= static_cast<uint8_t>((bits >> s & 1) << kSlots[s].to);
      matrices += is_valid(g);
    }
    return static_cast<double>(matrices * 243);  // 3^5 labelings
  }();
  return total;
}

size_t Nb101Space::features(Encoding encoding) const {
  return encoding == Encoding::kPath ? 364 : kEdgeSlots + kOpSlots * Nb101Graph::kOps;
}

void Nb101Space::encode(const Arch& arch, Encoding encoding, std::span<float> to) const {
  std::fill(to.begin(), to.end(), 0.0f);
  if (encoding == Encoding::kPath) {
    for (const int path : nb101_paths(nb101_graph(arch))) to[static_cast<size_t>(path)] = 1;
    return;
  }
  for (size_t s = 0; s < kEdgeSlots; ++s) to[s] = static_cast<float>(arch[s]);
  for (size_t v = 0; v < kOpSlots; ++v)
    to[kEdgeSlots + v * Nb101Graph::kOps + static_cast<size_t>(arch[kEdgeSlots + v])] = 1;
}

std::string Nb101Space::draw_dot(const Arch& arch) const {
  const Nb101Graph g = nb101_graph(arch);
  std::string dot = "digraph nb101 {\n  rankdir=LR\n  node [shape=box]\n";
  for (int v = 0; v < g.vertices; ++v) dot += kernels::text("  ", v, " [label=\"", nb101_label(g, v), "\"]\n");
  for (int from = 0; from < g.vertices; ++from)
    for (int to = from + 1; to < g.vertices; ++to)
      if (g.edge(from, to)) dot += kernels::text("  ", from, " -> ", to, "\n");
  return dot + "}\n";
}

}  // namespace mixop::nas
