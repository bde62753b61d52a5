// The whole-network space of ENAS (Pham et al. 2018) and its networks: the child of the search, whose weights all
// architectures share, and the final network of one architecture.
//
// Layer l applies one operation to the output of layer l - 1 and adds the chosen earlier states: state 0 is the
// stem, state s the output of layer s - 1, and layer l chooses among states 0 to l - 1 (its input, state l, is
// there anyway). An architecture is a layer's operation followed by its l bits, layer by layer.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "nas/sharing/enas_layers.h"
#include "nas/space/space.h"

namespace mixop::nas {

class EnasMacroSpace final : public Space {
 public:
  static constexpr std::array<std::string_view, 6> kOps = {"conv_3x3",     "sep_conv_3x3", "conv_5x5",
                                                           "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"};
  /// Of the released script, for 24 layers.
  static const char* const kPublished;

  /// 12 layers are those of the search. Throws mixop::Error below 3.
  explicit EnasMacroSpace(int layers = 12);
  int layers() const { return layers_; }

  std::string name() const override { return "enas-macro"; }
  std::string describe() const override;
  /// The numbers between blanks.
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  std::optional<std::string> find_fault(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override { return {static_cast<int>(kOps.size()), 2}; }
  /// 6^layers 2^(layers (layers - 1) / 2): 1.6e29 of 12 layers.
  double count() const override;
  /// The final network as released (dense kernels) without dropout; scale.cells has no meaning here.
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  std::string draw_dot(const Arch& arch) const override;

  /// Where the numbers of a layer begin.
  static size_t begin(int layer) { return static_cast<size_t>(layer * (layer + 1) / 2); }
  static int op(const Arch& arch, int layer) { return arch[begin(layer)]; }
  static bool skips(const Arch& arch, int layer, int state) {
    return arch[begin(layer) + 1 + static_cast<size_t>(state)] != 0;
  }

 private:
  int layers_;
};

/// Sizes of the networks; the defaults are those of the search child.
struct EnasMacroOptions {
  int layers = 12;
  int64_t channels = 36, classes = 10;
  int64_t height = 32, width = 32, image_channels = 3;
  double keep = 0.9;       ///< of dropout before the classifier, in training
  bool separable = false;  ///< final network: operations 1 and 3 are separable, as in the search and the paper; the
                           ///< released code has dense kernels in their place
  uint64_t seed = 0;       ///< of the masks; their counter is state "counter"

  /// 24 layers, 96 channels, keep 0.5.
  static EnasMacroOptions final_network();
  /// After these layers every state is reduced to half the resolution.
  std::array<int, 2> reductions() const { return {layers / 3 - 1, 2 * (layers / 3) - 1}; }
  /// Throws mixop::Error naming what is impossible.
  void check() const;
};

/// The child of the search with all architectures as choices of the graph, so that one plan serves them all: its
/// choices, which follow those that the graph has, are the numbers of the architecture in their order. An operation
/// is conv 1x1, bn, relu, then conv (or separable conv), bn, relu or a pool; a layer's chosen states are added to
/// it and the sum is normalised. Weights are shared between architectures: those of an operation belong to the
/// layer. Evaluation uses running statistics, which are those of all architectures that trained. images
/// [N,H,W,image_channels]; NetworkOutputs::cells are the outputs of the layers, before they are reduced.
NetworkOutputs build_enas_macro_child(Graph& g, Value images, Stores& stores, const EnasMacroOptions& options,
                                      bool training);
/// The part of it that is one architecture: the same weights by name and the same operations in the same order.
NetworkOutputs build_enas_macro_child(Graph& g, Value images, Stores& stores, const EnasMacroOptions& options,
                                      const Arch& arch, bool training);

/// The network that is trained from scratch: relu before convolutions, reductions double the channels, and a
/// layer's chosen states and its operation are concatenated and pass relu, conv 1x1, bn. Pools, which the released
/// code lacks here, follow relu, conv 1x1, bn.
NetworkOutputs build_enas_macro_network(Graph& g, Value images, Stores& stores, const EnasMacroOptions& options,
                                        const Arch& arch, bool training);

}  // namespace mixop::nas
