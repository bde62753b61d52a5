// Many independent searches of one table: strategies are judged by what they find over many seeds.
#pragma once

#include <string>
#include <vector>

#include "nas/search/loop.h"
#include "nas/table/table_evaluator.h"

namespace mixop::nas {

struct StrategyChoice {
  std::string label;  ///< as it was written
  const StrategyInfo* info;
  Settings settings;
};
/// Reads "name" or "name:key=value,key=value". Throws mixop::Error as find_strategy() and Settings do.
StrategyChoice parse_strategy(const std::string& text);
/// Reads a list of these: "random,regularized-evolution:population=10,sample=3,ga".
std::vector<StrategyChoice> parse_strategies(const std::string& text);

/// One search of a table.
struct SearchRun {
  /// From here on the best architecture is that of this row.
  struct Improvement {
    double seconds;
    int64_t evaluations;
    size_t row;
  };
  std::vector<Improvement> improvements;  ///< at least one
  double seconds = 0;                     ///< simulated, at the end
  int64_t evaluations = 0, failures = 0;

  /// The answer: the best by the accuracy that guided the search, over its whole history.
  size_t row() const { return improvements.back().row; }
};

struct TableSearch {
  TableProtocol protocol;
  Budget budget;
};

/// Searches with the seeds 0 .. seeds-1; the result does not depend on the number of threads. Throws mixop::Error
/// when the strategy does not fit the space of the table, or a search found nothing that the table knows.
std::vector<SearchRun> run_seeds(const Table& table, const TableSearch& search, const StrategyChoice& choice,
                                 int seeds, int threads);

struct Figure {
  double mean = 0, deviation = 0;  ///< over the seeds; the deviation of a sample (n - 1), 0 for one value
};
Figure figure_of(const std::vector<double>& values);

}  // namespace mixop::nas
