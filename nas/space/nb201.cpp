#include "nas/space/nb201.h"

#include <algorithm>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

constexpr std::array<int, 4> kFirstEdge = {0, 0, 1, 3};  // of those that enter a node

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

}  // namespace mixop::nas
