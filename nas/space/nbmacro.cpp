#include "nas/space/nbmacro.h"

#include "kernels/core/check.h"

namespace mixop::nas {

Arch NbMacroSpace::parse(std::string_view text) const {
  MIXOP_CHECK(text.size() == kLayers, "nbmacro: '", text, "': expected 8 digits, one a layer");
  Arch arch;
  for (const char c : text) {
    MIXOP_CHECK(c >= '0' && c <= '2', "nbmacro: '", text, "': expected 0, 1 or 2 at character ", arch.size());
    arch.push_back(c - '0');
  }
  return arch;
}

std::string NbMacroSpace::format(const Arch& arch) const {
  std::string text;
  for (const int32_t op : arch) text += static_cast<char>('0' + op);
  return text;
}

bool NbMacroSpace::next(const Arch& prefix, Decision& decision) const {
  if (prefix.size() >= kLayers) return false;
  decision = {.kind = 0, .legal = {0, 1, 2}, .layer = static_cast<int>(prefix.size())};
  return true;
}

ArchKey NbMacroSpace::key(const Arch& arch) const {
  Arch layers;
  size_t at = 0;
  for (const int stage : kStages) {
    for (int i = 0; i < stage; ++i, ++at)
      if (i == 0 || arch[at] != 0) layers.push_back(arch[at]);
    layers.push_back(-1);
  }
  return hash_numbers(layers);
}

std::string NbMacroSpace::draw_dot(const Arch& arch) const {
  std::string dot = "digraph nbmacro {\n  rankdir=LR\n  node [shape=box]\n";
  for (size_t i = 0; i < arch.size(); ++i)
    dot += kernels::text("  ", i, " [label=\"", kOps[static_cast<size_t>(arch[i])], "\"]\n");
  dot += "  stem";
  for (size_t i = 0; i < arch.size(); ++i) dot += kernels::text(" -> ", i);
  return dot + " -> head\n}\n";
}

}  // namespace mixop::nas
