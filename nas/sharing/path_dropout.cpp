#include "nas/sharing/path_dropout.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/optim.h"

namespace mixop::nas {

PathSample drop_paths(const MixedSpace& space, double rate, Random& random) {
  PathSample sample;
  for (const MixTable& table : space.tables()) {
    const auto nones = std::count(table.columns.begin(), table.columns.end(), "none");
    const double each =
        std::pow(rate, 1.0 / static_cast<double>(static_cast<std::ptrdiff_t>(table.columns.size()) - nones));
    TableValues values;
    for (int row = 0; row < table.rows; ++row)
      for (const std::string& column : table.columns)
        values.push_back(column == "none" || random.chance(each) ? 0 : 1);
    sample.tables.push_back(std::move(values));
  }
  return sample;
}

std::map<std::string, CandidateIndex> candidate_parameters(const MixedSpace& space) {
  Graph g;
  Stores stores(g.real(), 0);
  const auto [height, width, channels] = space.image();
  space.build(g, g.input("images", {1, height, width, channels}), stores,
              sampled_mixing(g, space, Candidates::kChosen), true);
  // A parameter is its candidate's whose nodes read it under a condition.
  const std::vector<MixTable> tables = space.tables();
  std::map<std::string, CandidateIndex> owners;
  for (int i = 0; i < g.size(); ++i) {
    const autograd::Node& reader = g.node(i);
    if (!reader.when) continue;
    int row = reader.when.choice;  // counted over all tables
    size_t t = 0;
    while (row >= tables[t].rows) row -= tables[t++].rows;
    const int64_t index = int64_t{row} * static_cast<int64_t>(tables[t].columns.size()) + reader.when.value;
    for (const Value v : reader.inputs)
      if (g.node(v).store == &stores.weights) owners[g.node(v).name] = {t, index};
  }
  return owners;
}

autograd::OptimizerNodes sgd_on_kept(Graph& g, Value loss, const MixedSpace& space,
                                     const std::vector<std::vector<Value>>& tables, Stores& stores,
                                     const autograd::Sgd& o) {
  const std::map<std::string, CandidateIndex> owners = candidate_parameters(space);
  std::vector<Value> tensors;
  for (const auto& e : stores.weights.entries()) tensors.push_back(g.tensor(stores.weights, e.name, e.shape));
  std::vector<Value> grads = autograd::gradients(g, loss, tensors);
  g.set_backward(true);
  const Value all = autograd::constant(g, {1}, o.weight_decay),
              share = autograd::constant(g, {1}, o.weight_decay / static_cast<double>(tables.size()));
  for (size_t i = 0; i < tensors.size(); ++i) {
    std::vector<Value> terms;
    if (grads[i]) terms.push_back(grads[i]);
    const auto owner = owners.find(stores.weights.entry(static_cast<int>(i)).name);
    if (owner == owners.end()) {
      terms.push_back(autograd::mul(g, tensors[i], all));
    } else {
      const Value decayed = autograd::mul(g, tensors[i], share);
      for (const std::vector<Value>& sample : tables)
        terms.push_back(autograd::scale(g, sample[owner->second.table], decayed, owner->second.index));
    }
    grads[i] = autograd::sum(g, terms);
  }
  autograd::OptimizerNodes nodes;
  nodes.gradient = autograd::pack(g, grads);
  const Value momentum = g.tensor(stores.optimizer, "weights.momentum", {stores.weights.elements()});
  const Value lr = g.tensor(stores.optimizer, "weights.lr", {1});
  nodes.norm = autograd::grad_norm(g, nodes.gradient);
  nodes.step = autograd::sgd_step(g, g.flat(stores.weights), nodes.gradient, momentum, lr, nodes.norm,
                                  {.momentum = o.momentum, .clip = o.clip, .nesterov = o.nesterov});
  g.set_backward(false);
  return nodes;
}

}  // namespace mixop::nas
