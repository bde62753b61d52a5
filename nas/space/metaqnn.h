// The layer space of MetaQNN (Baker et al. 2017): a network is a path of layers, each choice the next layer; which
// layers may follow depends on the last one, the depth and the size of the map. Rules as in the released code.
#pragma once

#include <array>

#include "nas/space/space.h"

namespace mixop::nas {

class MetaQnnSpace final : public Space {
 public:
  enum class Type : uint8_t { kStart, kConv, kPool, kFull, kGlobalPool, kEnd };
  struct Layer {
    Type type;
    int filters, kernel, stride, width;  ///< those that the type has, else 0
  };
  /// A choice is an index: 12 convolutions, 3 poolings, 3 fully connected layers, global pooling, the end.
  static constexpr int kChoices = 20;
  static const std::array<Layer, kChoices> kLayers;

  /// `layers` is the limit (18 for CIFAR-10, 12 for SVHN and MNIST; 1 to 100), `size` the side of the images that
  /// the rules reckon with (1 to 4096). Throws mixop::Error for other numbers.
  MetaQnnSpace(int layers, int size);

  std::string name() const override { return "metaqnn"; }
  std::string describe() const override;
  /// As in the paper: "C(64,3,1), P(2,2), FC(128), SM"; filters, kernel, stride; kernel, stride; width. GAP is
  /// global pooling, SM the end.
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override { return {kChoices}; }
  /// The tuple (type, depth, filters, kernel, stride, bucket of the size, width, terminated); of fully connected
  /// layers the third is how many there were in a row before.
  std::vector<int32_t> state(const Arch& prefix) const override;
  double count() const override;
  size_t features(Encoding encoding) const override;
  /// Convolutions and fully connected layers with bias and relu, no batch norm; Xavier's uniform weights; dropout
  /// after every second layer with probability i / 2n for the i-th of n. Global pooling is a 1x1 convolution to the
  /// classes and its mean; SM a linear classifier of all that there is. Images are of any size that the poolings
  /// leave something of; scale.channels and scale.cells do not count.
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  std::string draw_dot(const Arch& arch) const override;

 private:
  struct Position {
    Type type = Type::kStart;
    int depth = 0, size = 0, choice = -1, full = 0;  ///< full: fully connected layers in a row before this one
  };
  Position after(const Position& position, int choice) const;
  Position position(const Arch& prefix) const;
  bool allowed(const Position& position, int choice) const;
  int layers_, size_;
};

}  // namespace mixop::nas
