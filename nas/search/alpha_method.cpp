#include "nas/search/alpha_method.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/ops/softmax.h"

namespace mixop::nas {

std::vector<AlphaTensor> AlphaMethod::alphas(const MixedSpace& space) const {
  std::vector<AlphaTensor> tensors;
  for (const MixTable& table : space.tables())
    tensors.push_back({table.name, {table.rows, static_cast<int64_t>(table.columns.size())}});
  return tensors;
}

std::vector<Mixing> AlphaMethod::mix(Graph& g, Stores& stores, const MixedSpace& space, StepKind) const {
  std::vector<Mixing> mixing;
  for (const AlphaTensor& a : alphas(space)) mixing.push_back({autograd::softmax(g, alpha_tensor(g, stores, a))});
  return mixing;
}

std::vector<TableValues> AlphaMethod::strengths(const MixedSpace& space,
                                                const std::vector<TableValues>& alphas) const {
  const std::vector<MixTable> tables = space.tables();
  std::vector<TableValues> result;
  for (size_t t = 0; t < tables.size(); ++t)
    result.push_back(softmax_rows(alphas.at(t), static_cast<int>(tables[t].columns.size())));
  return result;
}

std::string AlphaMethod::decode(const MixedSpace& space, const std::vector<TableValues>& alphas) const {
  return space.decode_text(strengths(space, alphas));
}

Value alpha_tensor(Graph& g, Stores& stores, const AlphaTensor& alphas) {
  return g.tensor(stores.alphas, alphas.name, alphas.shape, alphas.init);
}

double linear_schedule(double first, double last, int epoch, int epochs) {
  return epochs > 1 ? first + (last - first) * epoch / (epochs - 1) : first;
}

TableValues softmax_rows(const TableValues& values, int columns) {
  TableValues result = values;
  for (auto row = result.begin(); row != result.end(); row += columns) {
    const double largest = *std::max_element(row, row + columns);
    for (auto v = row; v != row + columns; ++v) *v = std::exp(*v - largest);
    const double sum = std::accumulate(row, row + columns, 0.0);
    for (auto v = row; v != row + columns; ++v) *v /= sum;
  }
  return result;
}

}  // namespace mixop::nas
