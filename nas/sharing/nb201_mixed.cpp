#include "nas/sharing/nb201_mixed.h"

#include <algorithm>

#include "autograd/ops/concat.h"
#include "autograd/ops/mix.h"
#include "kernels/core/check.h"
#include "nas/space/nb201_network.h"

namespace mixop::nas {
namespace {

constexpr auto kEdges = static_cast<int>(Nb201Space::kEdges.size());
constexpr auto kOps = static_cast<int32_t>(Nb201Space::kOps.size());

/// A cell whose nodes mix the candidates of all their incoming edges.
Value mixed_cell(Layers& layers, Value x, const Mixing& mixing) {
  Graph& g = layers.g;
  std::array<Value, 4> nodes{x};
  std::vector<std::pair<int64_t, Value>> terms;
  for (int e = 0; e < kEdges; ++e) {
    const Nb201Space::NodePair pair = Nb201Space::kEdges[static_cast<size_t>(e)];
    const Value from = nodes[static_cast<size_t>(pair.from)];
    const Graph::Scope scope(g, kernels::text("edge.", e));
    for (int32_t k = 0; k < kOps; ++k) {
      autograd::Condition condition;
      if (!mixing.choices.empty()) condition = {mixing.choices.at(static_cast<size_t>(e)), k};
      const Graph::When when(g, condition);
      const Value y = nb201_operation(layers, k, from);
      if (y) terms.push_back({int64_t{e} * kOps + k, y == from && condition ? autograd::gate(g, y) : y});
    }
    if (pair.from < pair.to - 1) continue;  // of the node's edges the last comes from the node before it
    nodes[static_cast<size_t>(pair.to)] = autograd::mix(g, mixing.table, terms);
    terms.clear();
  }
  return nodes.back();
}

class Nb201Mixed final : public MixedSpace {
 public:
  explicit Nb201Mixed(const Nb201MixedOptions& options) : options_(options) {
    const NetworkScale& s = options_.scale;
    MIXOP_CHECK(s.channels >= 1 && s.cells >= 1 && s.classes >= 2 && s.image_channels >= 1,
                "nb201: channels, cells a stage and image channels must be at least 1 and classes at least 2");
  }

  const Space& space() const override { return space_; }
  std::vector<MixTable> tables() const override {
    return {{"alphas", kEdges, {Nb201Space::kOps.begin(), Nb201Space::kOps.end()}}};
  }
  std::array<int64_t, 3> image() const override {
    return {options_.scale.height, options_.scale.width, options_.scale.image_channels};
  }
  NetworkOutputs build(Graph& g, Value images, Stores& stores, const std::vector<Mixing>& mixing,
                       bool training) const override {
    Layers skeleton{g, stores.weights, &stores.state, training, true};
    Layers inside{g, stores.weights, options_.track ? &stores.state : nullptr, training || !options_.track,
                  options_.affine};
    return build_nb201(skeleton, images, options_.scale,
                       [&](Value x) { return mixed_cell(inside, x, mixing.at(0)); });
  }
  Arch decode(const std::vector<TableValues>& tables) const override {
    const TableValues& table = tables.at(0);
    MIXOP_CHECK(table.size() == static_cast<size_t>(kEdges * kOps), "nb201: a table of ", table.size(),
                " numbers; it has ", kEdges, " edges of ", kOps, " operations");
    Arch arch;
    for (auto row = table.begin(); row != table.end(); row += kOps)
      arch.push_back(static_cast<int32_t>(std::max_element(row, row + kOps) - row));
    return arch;
  }
  std::vector<RowChoices> path(const Arch& arch) const override {
    space_.validate(arch);
    return {arch};
  }

 private:
  Nb201MixedOptions options_;
  Nb201Space space_;
};

}  // namespace

std::unique_ptr<MixedSpace> nb201_mixed_space(const Nb201MixedOptions& options) {
  return std::make_unique<Nb201Mixed>(options);
}

}  // namespace mixop::nas
