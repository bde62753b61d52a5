// The DARTS supernet: stacked cells whose nodes mix all candidate operations of all incoming edges.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nas/layers.h"

namespace mixop::nas {

/// How the one description of a supernet becomes a graph. Both lowerings have the same parameters and state and
/// compute the same up to rounding.
enum class Lowering : uint8_t {
  kGrouped,   ///< by source: parameter-free candidates once for all edges that leave a state
  kReference  ///< by target: one node per edge and operation
};
std::string_view lowering_name(Lowering lowering);
/// Throws mixop::Error for anything but "grouped" and "reference".
Lowering parse_lowering(const std::string& name);

struct SupernetOptions {
  int64_t channels = 16, classes = 10, stem_multiplier = 3;
  int cells = 8, nodes = 4;
  int multiplier = 4;  ///< the last `multiplier` nodes are concatenated
  int64_t height = 32, width = 32, image_channels = 3;
  std::vector<CellOp> operations{kDartsOps.begin(), kDartsOps.end()};
  std::vector<int> reduction_cells{};  ///< empty: cells/3 and 2*cells/3 as DARTS places them
  Lowering lowering = Lowering::kGrouped;
  int64_t partial = 1;  ///< one in so many channels goes through the candidates, see nas/sharing/partial_channels.h

  int edges() const { return nodes * (nodes + 3) / 2; }
  std::vector<int> reductions() const;
  /// Throws one clear line when the sizes are impossible (image not divisible by 4, no cells, ...).
  void check() const;
};

/// Everything that outlives a plan. Initial values depend on the seed and the tensors' names only.
struct Stores {
  TensorStore weights, alphas, state, optimizer;
  explicit Stores(kernels::DType real, uint64_t seed)
      : weights("weights", real, seed),
        alphas("alphas", real, seed),
        state("state", real),
        optimizer("optimizer", real) {}
  std::vector<TensorStore*> all() { return {&weights, &alphas, &state, &optimizer}; }
};

struct NetworkOutputs {
  Value logits;     ///< [N, classes]
  Value auxiliary;  ///< [N, classes] of the auxiliary head, or empty
  Value stem;       ///< [N, H, W, stem_multiplier * channels]
  std::vector<Value> cells;
  Value pooled;  ///< [N, channels of the last cell]
};

/// How the candidates of the edges of a cell are combined: edge e with state x gives sum_k table[e][k] op_k(x).
struct Mixing {
  Value table;                 ///< [edges, operations]
  std::vector<int> choices{};  ///< by edge: the choice of the graph whose value is the one candidate k that is
                               ///< carried out, any other value: none; empty: all candidates are carried out
  std::vector<bool> kept{};    ///< [edges, operations] as the table: the candidates that exist; empty: all do
  Value edges{};               ///< of partial channels: [edges, 1], the weight of those that pass by; empty: 1
  Value skip_keep{};           ///< dropout of identity skips: [1], the probability to keep an element; empty: none
  Value skip_draw{};           ///< with it [1], below 2^24: every number stands for other masks
};

/// Adds the supernet to the graph (structure: DARTS, Liu et al. 2019, CIFAR form). images [N,H,W,image_channels].
/// With training = false batch norm uses the running statistics.
NetworkOutputs build_supernet(Graph& g, Value images, Stores& stores, const SupernetOptions& options,
                              bool training);

/// The same with any tables in place of softmaxed alphas. Choices need the reference lowering.
NetworkOutputs build_supernet(Graph& g, Value images, Stores& stores, const SupernetOptions& options,
                              const Mixing& normal, const Mixing& reduce, bool training);

/// The stem of CIFAR networks: conv 3x3 to `channels`, batch norm (affine), no relu.
Value cifar_stem(Layers& layers, Value images, int64_t channels);

}  // namespace mixop::nas
