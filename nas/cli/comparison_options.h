// What the commands that compare strategies on a table have in common: how they run and where results go.
#pragma once

#include <CLI/CLI.hpp>

#include "nas/table/comparison.h"

namespace mixop::cli {

struct ComparisonOptions {
  std::vector<std::string> tables;
  int seeds = 500, threads = 0;
  std::string format = "md", output = "-", curves;

  void add_to(CLI::App& command);
  /// Throws UsageError when no table was given.
  nas::Table open() const;

  /// Runs the row and says on stderr how long it took; appends to `comparison` and `runs` (by search).
  void run_row(const nas::Table& table, const std::vector<nas::ComparedSearch>& searches,
               const nas::StrategyChoice& choice, nas::Comparison& comparison,
               std::vector<std::vector<nas::LabelledRuns>>& runs) const;
  /// Writes the comparison to the output.
  void write_table(const nas::Comparison& comparison) const;
  /// The same, and the curves of each search as SVG and CSV.
  void write(const nas::Table& table, const std::vector<nas::ComparedSearch>& searches,
             const nas::Comparison& comparison, const std::vector<std::vector<nas::LabelledRuns>>& runs) const;
};

}  // namespace mixop::cli
