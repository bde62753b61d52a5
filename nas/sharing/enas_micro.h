// The cell space of ENAS (Pham et al. 2018) and its networks: the child of the search, whose weights all
// architectures share, and the final network of one architecture.
//
// A normal and a reduction cell have five nodes. A node adds one operation on each of two earlier states; states
// are 0 = output of the layer before last, 1 = output of the last layer, 2, 3, ... = the nodes. States that no node
// reads
// ("loose ends") are the output of the cell. An architecture is twenty numbers a cell, (input, operation, input,
// operation) a node, the normal cell first.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "nas/network.h"
#include "nas/sharing/enas_layers.h"
#include "nas/space/space.h"

namespace mixop::nas {

class EnasMicroSpace final : public Space {
 public:
  static constexpr int kNodes = 5, kStates = kNodes + 2, kCellNumbers = 4 * kNodes;
  static constexpr std::array<std::string_view, 5> kOps = {"sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3",
                                                           "max_pool_3x3", "identity"};
  /// Of the paper, as the released script gives it.
  static const char* const kPublished;

  std::string name() const override { return "enas-micro"; }
  std::string describe() const override;
  /// The forty numbers between blanks.
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  std::optional<std::string> find_fault(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override { return {kStates - 1, static_cast<int>(kOps.size())}; }
  /// Equal up to the order of the two operations of a node.
  ArchKey key(const Arch& arch) const override;
  /// (prod_n ((n + 2) 5)^2)^2, 5.06e12 a cell.
  double count() const override;
  /// The final network with 3 scale.cells layers besides the two that reduce, without dropout, drop path and
  /// auxiliary head.
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  std::string draw_dot(const Arch& arch) const override;

  struct Element {
    int state, op;
    auto operator<=>(const Element&) const = default;
  };
  /// What slot 0 or 1 of a node of the normal (0) or reduction (1) cell does.
  static Element element(const Arch& arch, int cell, int node, int slot);
  /// By state: no node of the cell reads it.
  static std::array<bool, kStates> loose_ends(const Arch& arch, int cell);
};

/// Sizes of the networks; the defaults are those of the search child.
struct EnasMicroOptions {
  int layers = 6;  ///< besides the two that reduce; divisible by 3 as published
  int64_t channels = 20, classes = 10;
  int64_t height = 32, width = 32, image_channels = 3;
  bool auxiliary = true;  ///< a second classifier after the layer that follows the second reduction, in training
  double keep = 0.9;      ///< of dropout before the classifier, in training
  bool evaluation_dropout = false;  ///< search child: also without training, as the released code measures rewards
  bool drop_path = false;           ///< final network: masks by state "drop_path.keep", see build_enas_network
  NetworkOptions::Schedule schedule{};  ///< with drop_path: by step in place of that state
  uint64_t seed = 0;                    ///< of the masks; their counter is state "counter"

  /// 15 layers, 36 channels, keep 0.8, drop path.
  static EnasMicroOptions final_network();
  /// Layers with the reduction cell.
  std::array<int, 2> reductions() const { return {layers / 3, 2 * (layers / 3) + 1}; }
  /// Throws mixop::Error naming what is impossible.
  void check() const;
};

/// The child of the search with all architectures as choices of the graph, so that one plan serves them all: its
/// choices, which follow those that the graph has, take the values enas_micro_choices(arch). Weights are shared
/// between architectures: those of an operation belong to (layer, node, slot, operation, input), such as
/// "layers.3.node.2.second.sep_conv_3x3.from.1.dw1", those of the output to (layer, loose end). Cells of the search
/// do not change the resolution; a layer that reduces is preceded by a factorized reduction. Batch norms use the
/// statistics of the batch in training and out of it. images [N,H,W,image_channels]; NetworkOutputs::cells are the
/// outputs of the layers.
NetworkOutputs build_enas_micro_child(Graph& g, Value images, Stores& stores, const EnasMicroOptions& options,
                                      bool training);
/// The part of it that is one architecture: the same weights by name and the same operations in the same order.
NetworkOutputs build_enas_micro_child(Graph& g, Value images, Stores& stores, const EnasMicroOptions& options,
                                      const Arch& arch, bool training);
/// Values of the choices: for each cell type 2 (node) + slot -> 5 input + operation, then for each state whether it
/// is a loose end.
std::vector<int32_t> enas_micro_choices(const Arch& arch);

/// The network that is trained from scratch. Unlike the child of the search its reduction cells have strides on
/// their inputs, the last layer's output passes a 1x1 convolution ("base"), and loose ends are concatenated. With
/// drop path, operations other than identities of layer l are kept with probability 1 - (l + 1) / (layers + 2) (1 -
/// "drop_path.keep"), where that state is 1 - 0.4 times the share of training that is done, as published. (The
/// released code pads windows of stride 2 at the end only.)
NetworkOutputs build_enas_micro_network(Graph& g, Value images, Stores& stores, const EnasMicroOptions& options,
                                        const Arch& arch, bool training);

}  // namespace mixop::nas
