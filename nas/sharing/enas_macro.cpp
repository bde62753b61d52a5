#include "nas/sharing/enas_macro.h"

#include <cmath>
#include <numeric>

#include "kernels/core/check.h"
#include "nas/space/numbers.h"

namespace mixop::nas {

const char* const EnasMacroSpace::kPublished =
    "0 3 0 0 1 0 2 0 0 1 2 0 0 0 0 3 1 1 0 1 0 2 0 0 0 0 0 1 2 0 1 1 0 1 1 1 1 0 1 1 1 0 1 0 1 "
    "0 0 0 0 0 0 0 0 0 0 2 0 0 0 0 0 1 0 0 0 0 0 1 0 0 1 1 0 0 0 0 1 1 2 0 1 0 0 0 0 0 1 0 1 1 0 "
    "1 0 0 1 0 0 0 1 1 1 0 1 0 1 0 1 1 0 1 0 1 0 0 0 0 0 1 0 0 2 0 0 1 0 0 0 0 0 0 0 1 0 1 0 1 "
    "2 0 1 0 0 0 1 0 0 1 1 1 1 0 0 1 0 2 0 0 0 0 1 0 1 0 1 0 0 1 0 1 0 0 1 "
    "3 0 1 1 0 1 0 0 0 0 0 1 0 1 0 1 0 0 0 3 0 1 1 0 0 0 0 0 0 0 0 0 1 1 0 0 0 0 1 "
    "0 1 0 0 1 0 1 1 0 0 0 1 0 0 0 0 0 1 1 0 0 3 0 1 0 1 1 0 0 1 0 1 1 0 1 1 0 1 0 0 1 0 0 "
    "0 1 0 1 0 1 0 0 0 0 0 0 0 0 1 0 1 0 0 1 0 0 0 0 1 1 0 0 0 1 1 1 0 1 0 0 0 1 0 1 0 0 1 1 0 0 0";

EnasMacroSpace::EnasMacroSpace(int layers) : layers_(layers) {
  MIXOP_CHECK(layers >= 3 && layers <= 1000, "space enas-macro: layers=", layers, "; there are 3 to 1000");
}

std::string EnasMacroSpace::describe() const {
  return kernels::text("ENAS networks: ", layers_, " layers, 6 operations, skip connections");
}

Arch EnasMacroSpace::parse(std::string_view text) const {
  Arch arch = read_numbers(name(), text);
  validate(arch);
  return arch;
}

std::string EnasMacroSpace::format(const Arch& arch) const { return write_numbers(arch); }

std::optional<std::string> EnasMacroSpace::find_fault(const Arch& arch) const {
  if (arch.size() != begin(layers_))
    return kernels::text("has ", arch.size(), " numbers, not ", begin(layers_), ": those of ", layers_,
                         " layers, each its operation and a bit for every earlier layer");
  for (int l = 0; l < layers_; ++l) {
    if (op(arch, l) < 0 || op(arch, l) >= static_cast<int>(kOps.size()))
      return kernels::text("operation of layer ", l, " is ", op(arch, l), ", not 0 to ", kOps.size() - 1);
    for (int s = 0; s < l; ++s) {
      const int bit = arch[begin(l) + 1 + static_cast<size_t>(s)];
      if (bit != 0 && bit != 1) return kernels::text("skip ", s, " of layer ", l, " is ", bit, ", not 0 or 1");
    }
  }
  return {};
}

bool EnasMacroSpace::next(const Arch& prefix, Decision& decision) const {
  if (prefix.size() >= begin(layers_)) return false;
  int layer = 0;
  while (begin(layer + 1) <= prefix.size()) ++layer;
  decision.layer = layer;
  decision.source = static_cast<int>(prefix.size() - begin(layer)) - 1;
  decision.kind = decision.source < 0 ? 0 : 1;
  decision.legal.resize(decision.kind ? 2 : kOps.size());
  std::iota(decision.legal.begin(), decision.legal.end(), 0);
  return true;
}

double EnasMacroSpace::count() const {
  return std::pow(static_cast<double>(kOps.size()), layers_) * std::exp2(layers_ * (layers_ - 1) / 2);
}

std::string EnasMacroSpace::draw_dot(const Arch& arch) const {
  std::string dot = "digraph enas {\n  rankdir=LR\n  node [shape=box]\n  0 [label=\"stem\"]\n";
  for (int l = 0; l < layers_; ++l) {
    dot += kernels::text("  ", l + 1, " [label=\"", l, " ", kOps[static_cast<size_t>(op(arch, l))], "\"]\n  ", l,
                         " -> ", l + 1, "\n");
    for (int s = 0; s < l; ++s)
      if (skips(arch, l, s)) dot += kernels::text("  ", s, " -> ", l + 1, " [style=dashed]\n");
  }
  return dot + "}\n";
}

NetworkOutputs EnasMacroSpace::build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                                     const NetworkScale& scale, bool training) const {
  EnasMacroOptions o;
  o.layers = layers_;
  o.channels = scale.channels;
  o.classes = scale.classes;
  o.height = scale.height;
  o.width = scale.width;
  o.image_channels = scale.image_channels;
  o.keep = 1;
  return build_enas_macro_network(g, images, stores, o, arch, training);
}

EnasMacroOptions EnasMacroOptions::final_network() {
  EnasMacroOptions o;
  o.layers = 24;
  o.channels = 96;
  o.keep = 0.5;
  return o;
}

void EnasMacroOptions::check() const {
  MIXOP_CHECK(layers >= 3 && channels >= 2 && classes >= 2 && image_channels >= 1,
              "enas-macro: layers must be at least 3, channels and classes at least 2, image channels at least 1");
  MIXOP_CHECK(channels % 2 == 0, "enas-macro: ", channels,
              " channels: a factorized reduction makes halves of them, use an even number");
  MIXOP_CHECK(height >= 4 && width >= 4 && height % 4 == 0 && width % 4 == 0, "enas-macro: images of ", height, "x",
              width, " pixels: height and width must be divisible by 4; pad or resize the images");
  MIXOP_CHECK(keep > 0 && keep <= 1, "enas-macro: the keep probability of dropout is ", keep, ", not in (0, 1]");
}

}  // namespace mixop::nas
