// Chains of convolutions in the style of early work; with skips=1 the anchors of NAS-RL (Zoph and Le 2017) choose
// for every layer which earlier ones feed it. An architecture is the number of layers, then for each layer kernel,
// stride, pooling, filters, activation and its anchors; the numbers are indices into the tables below.
#pragma once

#include <array>

#include "nas/space/space.h"

namespace mixop::nas {

class ChainSpace final : public Space {
 public:
  enum Kind : uint8_t { kLayers, kKernel, kStride, kPooling, kFilters, kActivation, kAnchor };
  static constexpr std::array<int, 3> kKernels = {3, 5, 7};
  static constexpr std::array<int, 2> kStrides = {1, 2};
  static constexpr std::array<std::string_view, 3> kPoolings = {"none", "max", "avg"};  ///< 2x2, stride 2
  static constexpr std::array<int, 4> kFilterCounts = {24, 36, 48, 64};
  static constexpr std::array<std::string_view, 4> kActivations = {"relu", "elu", "silu", "tanh"};

  struct Layer {
    int kernel, stride, pooling, filters, activation;  ///< the values themselves, but indices of the names
    std::vector<bool> inputs{};                        ///< one for each earlier layer
  };

  /// `layers` is the most there may be, 1 to 64. Strides of 2 and poolings halve the map: at most `halvings` of
  /// them, 0 to 16. Throws mixop::Error for other numbers.
  ChainSpace(int layers, int halvings, bool skips);

  std::string name() const override { return "chain"; }
  std::string describe() const override;
  /// "5x5/2,max,48,relu 3x3/1,none,24,elu<0": layers between spaces; behind < the layers that feed it, joined by +,
  /// where < alone means the image. Without <: the layer before (the only form without skips).
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override;
  double count() const override;
  size_t features(Encoding encoding) const override;
  /// Convolution, batch norm, activation, pooling a layer; then the global mean and a linear classifier. Filters
  /// are the architecture's own: scale.channels and scale.cells do not count.
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  std::string draw_dot(const Arch& arch) const override;

  std::vector<Layer> layers(const Arch& arch) const;

 private:
  size_t first(size_t layer) const;  ///< where its decisions begin
  int layers_, halvings_;
  bool skips_;
};

}  // namespace mixop::nas
