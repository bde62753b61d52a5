#include "nas/space/nb201.h"

#include <algorithm>
#include <map>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

constexpr std::array<int, 4> kFirstEdge = {0, 0, 1, 3};  // of those that enter a node

// The paths from input to output as edges.
const std::array<std::vector<size_t>, 4> kPaths = {{{3}, {0, 4}, {1, 5}, {0, 2, 5}}};

bool is_open(const Arch& arch, const std::vector<size_t>& path) {
  return std::none_of(path.begin(), path.end(), [&](size_t edge) { return arch[edge] == 0; });
}

// The benchmark's canonical string: a node is the sorted sum of its terms, '#' the zero, a skip its source's text.
std::string unique_text(const Arch& arch) {
  std::array<std::string, 4> nodes{"0"};
  for (size_t node = 1; node < nodes.size(); ++node) {
    std::vector<std::string> terms;
    for (size_t from = 0; from < node; ++from) {
      const int32_t op = arch[static_cast<size_t>(kFirstEdge[node]) + from];
      if (op == 0 || nodes[from] == "#") terms.push_back("#");
      else if (op == 1) terms.push_back(nodes[from]);
      else terms.push_back(kernels::text('(', nodes[from], ")@", Nb201Space::kOps[static_cast<size_t>(op)]));
    }
    std::sort(terms.begin(), terms.end());
    for (const std::string& term : terms) nodes[node] += (nodes[node].empty() ? "" : "+") + term;
  }
  return nodes.back();
}

int32_t code_of(const Arch& arch) {
  int32_t code = 0;
  for (const int32_t op : arch) code = code * 5 + op;
  return code;
}

struct Classes {
  std::vector<int32_t> of = std::vector<int32_t>(15625);  ///< by code_of()
  int32_t count = 0;
};

const Classes& classes() {
  static const Classes table = [] {
    Classes c;
    std::map<std::string, int32_t> known;
    Arch arch(6, 0);
    for (size_t code = 0; code < c.of.size(); ++code) {
      for (size_t e = 6, rest = code; e-- > 0; rest /= 5) arch[e] = static_cast<int32_t>(rest % 5);
      c.of[code] = known.try_emplace(unique_text(arch), static_cast<int32_t>(known.size())).first->second;
    }
    c.count = static_cast<int32_t>(known.size());
    return c;
  }();
  return table;
}

}  // namespace

Arch Nb201Space::parse(std::string_view text) const {
  Arch arch;
  if (text.size() == 6 && text.find_first_not_of("01234") == std::string_view::npos) {
    for (const char c : text) arch.push_back(c - '0');
    return arch;
  }
  size_t at = 0;
  const auto expect = [&](std::string_view word) {
    MIXOP_CHECK(text.substr(at, word.size()) == word, "nb201: '", text, "': expected '", word, "' at character ",
                at);
    at += word.size();
  };
  for (const NodePair& edge : kEdges) {
    if (edge.from == 0) expect(edge.to == 1 ? "|" : "+|");
    const std::string_view word = text.substr(at, std::min(text.find('~', at), text.size()) - at);
    const auto op = std::find(kOps.begin(), kOps.end(), word);
    MIXOP_CHECK(op != kOps.end(), "nb201: '", text, "': '", word, "' at character ", at,
                " is no operation; there are none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3");
    arch.push_back(static_cast<int32_t>(op - kOps.begin()));
    at += word.size();
    expect(kernels::text("~", edge.from, "|"));
  }
  MIXOP_CHECK(at == text.size(), "nb201: '", text, "': stray text from character ", at);
  return arch;
}

std::string Nb201Space::format(const Arch& arch) const {
  std::string text;
  for (size_t e = 0; e < kEdges.size(); ++e) {
    if (kEdges[e].from == 0) text += e ? "+|" : "|";
    text += std::string(kOps[static_cast<size_t>(arch[e])]) + "~" + std::to_string(kEdges[e].from) + "|";
  }
  return text;
}

bool Nb201Space::next(const Arch& prefix, Decision& decision) const {
  if (prefix.size() >= kEdges.size()) return false;
  decision.kind = 0;
  decision.layer = kEdges[prefix.size()].to;
  decision.source = -1;
  decision.legal = {0, 1, 2, 3, 4};
  return true;
}

Child Nb201Space::mutate(const Arch& arch, Random& random) const {
  const auto node = static_cast<size_t>(1 + random.below(3));
  const auto edge = static_cast<size_t>(kFirstEdge[node] + random.below(static_cast<int64_t>(node)));
  Arch child = arch;
  child[edge] = static_cast<int32_t>((child[edge] + 1 + random.below(4)) % 5);
  return {child};
}

ArchKey Nb201Space::key(const Arch& arch) const {
  const int32_t number = classes().of[static_cast<size_t>(code_of(arch))];
  return hash_numbers({&number, 1});
}

std::optional<int64_t> Nb201Space::count_classes() const { return classes().count; }

size_t Nb201Space::features(Encoding encoding) const {
  return encoding == Encoding::kPath ? 180 : Space::features(encoding);
}

void Nb201Space::encode(const Arch& arch, Encoding encoding, std::span<float> to) const {
  if (encoding != Encoding::kPath) return Space::encode(arch, encoding, to);
  std::fill(to.begin(), to.end(), 0.0f);
  size_t base = 0;
  for (const auto& path : kPaths) {
    size_t sequences = 1, index = 0;
    for (const size_t edge : path) {
      index = index * 5 + static_cast<size_t>(arch[edge]);
      sequences *= 5;
    }
    if (is_open(arch, path)) to[base + index] = 1;
    base += sequences;
  }
}

std::string Nb201Space::draw_dot(const Arch& arch) const {
  std::string dot = "digraph nb201 {\n  rankdir=LR\n  node [shape=box]\n  0 [label=input]\n  3 [label=output]\n";
  for (size_t e = 0; e < kEdges.size(); ++e)
    if (arch[e] != 0)
      dot += kernels::text("  ", kEdges[e].from, " -> ", kEdges[e].to, " [label=\"",
                           kOps[static_cast<size_t>(arch[e])], "\"]\n");
  return dot + "}\n";
}

bool nb201_is_connected(const Arch& arch) {
  return std::any_of(kPaths.begin(), kPaths.end(), [&](const auto& path) { return is_open(arch, path); });
}

}  // namespace mixop::nas
