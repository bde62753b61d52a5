// Evaluates candidates by looking them up: what was recorded of their training, and what it cost.
#pragma once

#include "nas/search/evaluator.h"
#include "nas/table/table.h"

namespace mixop::nas {

/// How a search sees a table. Defaults are NAS-Bench-201's protocol (Dong and Yang 2020).
struct TableProtocol {
  std::string dataset = "cifar10";  ///< cifar10, cifar100 or ImageNet16-120
  /// The recorded schedule whose validation accuracy guides the search; 0: of 12 epochs where the table has it,
  /// else the longest.
  int epochs = 0;
  enum class Noise : uint8_t { kMean, kTrial } noise = Noise::kMean;  ///< the mean of all runs, or one of them
  uint64_t seed = 0;                    ///< kTrial: of the draw, which depends on it and the candidate's number
  std::vector<std::string> objectives;  ///< columns to be minimised beside the error; empty: a search with one aim
  double validation_seconds = 2.39;     ///< one validation pass (NAS-Bench-201's records)
};

/// A candidate costs the seconds recorded for training it on its schedule and one validation pass; where a table
/// has no times, the validation pass alone. A candidate that asks for `epochs` gets the shortest recorded schedule
/// that is as long, at most the protocol's: a table knows only where its schedules ended, each with its own
/// learning rates, so that on NAS-Bench-201 (12 and 200 epochs) every fidelity of Hyperband and BOHB is the
/// 12-epoch one and costs as much. Fails (at the cost of a validation pass) what the table has not recorded.
class TableEvaluator final : public ImmediateEvaluator {
 public:
  /// The table must outlive the evaluator. Throws mixop::Error when the table lacks the data set, the schedule, its
  /// single runs, or an objective, and names those it has.
  TableEvaluator(const Table& table, TableProtocol protocol);

  Outcome evaluate(const Candidate& candidate) override;

  const Table& table() const { return table_; }
  /// With epochs filled in.
  const TableProtocol& protocol() const { return protocol_; }
  /// Length of the recorded schedule that answers a candidate's `epochs`.
  int schedule(double epochs) const { return answering(epochs).epochs; }
  /// Costs are recorded times.
  bool timed() const { return seconds_.has_value(); }

 private:
  struct Schedule {
    int epochs;
    std::vector<size_t> columns;  // the mean, or the single runs
  };
  const Schedule& answering(double epochs) const;
  double accuracy(const Schedule& schedule, size_t row, int64_t id) const;

  const Table& table_;
  TableProtocol protocol_;
  std::vector<Schedule> schedules_;  // ascending, up to the protocol's
  std::optional<size_t> seconds_;
  std::vector<size_t> objectives_;
};

}  // namespace mixop::nas
