// The layer-wise space of NAS-Bench-Macro (Su et al. 2021): eight layers in stages of 2, 3 and 3, each an identity,
// an inverted bottleneck of expansion 3 and kernel 3, or one of expansion 6 and kernel 5. The first layer of a
// stage halves the resolution and doubles the width; an identity there is a 1x1 convolution.
#pragma once

#include <array>

#include "nas/space/space.h"

namespace mixop::nas {

class NbMacroSpace final : public Space {
 public:
  static constexpr int kLayers = 8;
  static constexpr std::array<int, 3> kStages = {2, 3, 3};
  static constexpr std::array<std::string_view, 3> kOps = {"identity", "mb3_k3", "mb6_k5"};

  std::string name() const override { return "nbmacro"; }
  std::string describe() const override { return "NAS-Bench-Macro: 8 layers, 3 operations"; }
  /// Eight digits 0 to 2, layer by layer.
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override { return {3}; }
  /// Equal up to where the identities stand that change nothing: all but those that begin a stage.
  ArchKey key(const Arch& arch) const override;
  double count() const override { return 6561; }
  /// 9 of the first stage, 3 (1 + 2 + 4) of the second and of the third.
  std::optional<int64_t> count_classes() const override { return 9 * 21 * 21; }
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  std::string draw_dot(const Arch& arch) const override;
};

}  // namespace mixop::nas
