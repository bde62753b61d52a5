#include "nas/sharing/candidate_macs.h"

#include "kernels/core/check.h"
#include "nas/network.h"

namespace mixop::nas {

std::vector<TableValues> candidate_macs(const MixedSpace& space) {
  const std::vector<MixTable> tables = space.tables();
  std::vector<std::vector<bool>> kept;
  std::vector<TableValues> macs;
  for (const MixTable& t : tables) {
    kept.emplace_back(static_cast<size_t>(t.rows) * t.columns.size(), true);
    macs.emplace_back(kept.back().size(), 0);
  }
  const NetworkBuilder build = [&](Graph& g, Value images, Stores& stores, bool training) {
    std::vector<Mixing> mixing;
    for (size_t t = 0; t < tables.size(); ++t) {
      const Value table = g.input(tables[t].name, {tables[t].rows, static_cast<int64_t>(tables[t].columns.size())});
      mixing.push_back({.table = table, .kept = kept[t]});
    }
    return space.build(g, images, stores, mixing, training);
  };
  const std::array<int64_t, 3> image = space.image();
  const auto measure = [&] { return measure_network(build, image[0], image[1], image[2]).macs; };
  const double all = measure();
  double sum = 0;
  for (size_t t = 0; t < tables.size(); ++t)
    for (size_t i = 0; i < macs[t].size(); ++i) {
      kept[t][i] = false;
      sum += macs[t][i] = all - measure();
      kept[t][i] = true;
    }
  MIXOP_CHECK(sum > 0, "the space ", space.space().name(), " does not tell what its candidates cost");
  return macs;
}

}  // namespace mixop::nas
