#include "nas/sharing/path_plan.h"

#include "kernels/core/check.h"
#include "nas/ledger.h"

namespace mixop::nas {
namespace {

std::string input_name(const MixTable& table, size_t sample) {
  return kernels::text("table.", table.name, ".", sample);
}

}  // namespace

PathSample one_path(const MixedSpace& space, const Arch& arch) {
  const std::vector<MixTable> tables = space.tables();
  const std::vector<RowChoices> path = space.path(arch);
  PathSample sample;
  for (size_t t = 0; t < tables.size(); ++t) {
    const size_t columns = tables[t].columns.size();
    TableValues values(static_cast<size_t>(tables[t].rows) * columns, 0.0);
    for (size_t row = 0; row < path[t].size(); ++row)
      if (path[t][row] >= 0) values[row * columns + static_cast<size_t>(path[t][row])] = 1;
    sample.tables.push_back(std::move(values));
    sample.choices.insert(sample.choices.end(), path[t].begin(), path[t].end());
  }
  return sample;
}

std::vector<Mixing> sampled_mixing(Graph& g, const MixedSpace& space, Candidates candidates, size_t number) {
  std::vector<Mixing> mixing;
  for (const MixTable& table : space.tables()) {
    const kernels::Shape shape{table.rows, static_cast<int64_t>(table.columns.size())};
    mixing.push_back({g.input(input_name(table, number), shape)});
    if (candidates == Candidates::kChosen) mixing.back().choices = add_choices(g, table.rows);
  }
  return mixing;
}

void take(PathPlan& p, const MixedSpace& space, std::span<const PathSample> samples) {
  const std::vector<MixTable> tables = space.tables();
  for (size_t i = 0; i < samples.size(); ++i) {
    for (size_t t = 0; t < tables.size(); ++t) {
      if (!p.plan.has_input(input_name(tables[t], i))) continue;  // few cells are of one kind
      const kernels::View view = p.plan.input(input_name(tables[t], i));
      const TableValues& values = samples[i].tables.at(t);
      MIXOP_CHECK(static_cast<int64_t>(values.size()) == view.shape.elements(), "path: ", values.size(),
                  " numbers for table ", tables[t].name, " ", view.shape);
      if (view.dtype == kernels::DType::kF64) std::copy(values.begin(), values.end(), view.as<double>());
      else
        std::transform(values.begin(), values.end(), view.as<float>(),
                       [](double v) { return static_cast<float>(v); });
    }
  }
  if (p.candidates == Candidates::kChosen) p.plan.choose(samples.front().choices);
}

PendingScore run(PathPlan& p, const MixedSpace& space, const Batch& batch, std::span<const PathSample> samples) {
  const Stopwatch watch;
  feed(p.plan, batch);
  take(p, space, samples);
  const int64_t number = p.plan.run();
  return {&p.plan, p.loss, p.correct, number, batch.size, watch.elapsed()};
}

}  // namespace mixop::nas
