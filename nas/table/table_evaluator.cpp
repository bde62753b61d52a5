#include "nas/table/table_evaluator.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

template <class Items>
std::string joined(const Items& items) {
  std::string all;
  for (const auto& item : items) all += kernels::text(all.empty() ? "" : ", ", item);
  return all.empty() ? "none" : all;
}

}  // namespace

TableEvaluator::TableEvaluator(const Table& table, TableProtocol protocol)
    : table_(table), protocol_(std::move(protocol)) {
  const bool single = protocol_.noise == TableProtocol::Noise::kTrial;
  std::set<std::string> datasets;
  std::set<int> lengths;
  for (const TableColumn& c : table.columns()) {
    if (c.measure != "val") continue;
    datasets.insert(c.dataset);
    if (c.dataset == protocol_.dataset && (c.trial >= 0) == single) lengths.insert(c.epochs);
  }
  MIXOP_CHECK(datasets.count(protocol_.dataset), "the table has no validation accuracies on '", protocol_.dataset,
              "'; it has: ", joined(datasets));
  if (protocol_.epochs == 0 && !lengths.empty())
    protocol_.epochs = lengths.count(12) ? 12 : *std::max_element(lengths.begin(), lengths.end());
  MIXOP_CHECK(lengths.count(protocol_.epochs), "the table has no ",
              single ? "single runs" : "validation accuracies", " of ", protocol_.epochs, " epochs on ",
              protocol_.dataset, "; it has: ", joined(lengths));

  for (const int epochs : lengths) {
    if (epochs > protocol_.epochs) break;
    Schedule schedule{.epochs = epochs, .columns = {}};
    if (!single) schedule.columns.push_back(*table.find_column(protocol_.dataset, "val", epochs));
    for (int trial = 0; single; ++trial) {
      const auto column = table.find_column(protocol_.dataset, "val", epochs, trial);
      if (!column) break;
      schedule.columns.push_back(*column);
    }
    schedules_.push_back(std::move(schedule));
  }
  seconds_ = table.find_column(protocol_.dataset, "seconds", 0);
  for (const std::string& name : protocol_.objectives) objectives_.push_back(table.column(name));
}

const TableEvaluator::Schedule& TableEvaluator::answering(double epochs) const {
  if (epochs > 0)
    for (const Schedule& s : schedules_)
      if (s.epochs >= epochs) return s;
  return schedules_.back();
}

double TableEvaluator::accuracy(const Schedule& schedule, size_t row, int64_t id) const {
  if (protocol_.noise == TableProtocol::Noise::kMean) return table_.value(row, schedule.columns[0]);
  std::vector<double> runs;
  for (const size_t column : schedule.columns)
    if (const double v = table_.value(row, column); !std::isnan(v)) runs.push_back(v);
  if (runs.empty()) return std::nan("");
  return Random(protocol_.seed, static_cast<uint64_t>(id)).one_of(runs);
}

Outcome TableEvaluator::evaluate(const Candidate& candidate) {
  Outcome outcome{.accuracy = 0, .cost = protocol_.validation_seconds};
  const auto fail = [&](std::string reason) {
    outcome.failed = true;
    outcome.reason = std::move(reason);
    outcome.objectives.clear();
    return outcome;
  };
  const auto row = table_.find(candidate.arch);
  if (!row) return fail("not in the table");
  const Schedule& schedule = answering(candidate.epochs);
  const double percent = accuracy(schedule, *row, candidate.id);
  if (std::isnan(percent)) return fail("accuracy not recorded");
  if (seconds_) outcome.cost += schedule.epochs * table_.value(*row, *seconds_);
  if (!objectives_.empty()) outcome.objectives.push_back(100 - percent);
  for (const size_t column : objectives_) {
    outcome.objectives.push_back(table_.value(*row, column));
    if (std::isnan(outcome.objectives.back())) return fail(table_.columns()[column].name + " not recorded");
  }
  outcome.accuracy = percent;
  return outcome;
}

}  // namespace mixop::nas
