// Strategies side by side: what they found over many seeds, beside published figures where there are any.
#pragma once

#include "nas/table/curves.h"

namespace mixop::nas {

/// What a comparison reports of an architecture.
struct ReportedColumn {
  std::string heading;  ///< "cifar10 val"
  size_t column;
};

struct ComparisonRow {
  std::string method;
  std::vector<Figure> ours;                  ///< by column
  std::vector<Figure> published{};           ///< empty: none
  std::vector<Figure> seconds, evaluations;  ///< of the candidates, by search
  double wall_seconds = 0;                   ///< of all seeds
  std::string note{};                        ///< what a reader must know of the row
};

struct Comparison {
  std::string title;
  std::vector<std::string> headings;  ///< of the columns
  std::vector<ComparisonRow> rows;
  std::string seconds_heading = "simulated s";
};

/// The searches of one row: each has a data set to search on, and the columns that it reports.
struct ComparedSearch {
  TableSearch search;
  std::vector<ReportedColumn> reports;
};
/// The validation and test accuracy of the longest schedule on these data sets (empty: all), as far as recorded.
std::vector<ReportedColumn> reported_columns(const Table& table, const std::vector<std::string>& datasets);

/// Runs all searches with the strategy; `runs` gets those of each search.
ComparisonRow compare(const Table& table, const std::vector<ComparedSearch>& searches, const StrategyChoice& choice,
                      int seeds, int threads, std::vector<LabelledRuns>& runs);

enum class TableFormat : uint8_t { kMarkdown, kCsv, kLatex };
/// Each row is followed by the published figures and the distance of our means from them, where there are any.
std::string format_comparison(const Comparison& comparison, TableFormat format);

}  // namespace mixop::nas
