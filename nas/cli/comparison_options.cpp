#include "nas/cli/comparison_options.h"

#include <cstdio>

#include "autograd/files.h"
#include "kernels/core/exec.h"
#include "nas/cli/usage.h"

namespace mixop::cli {

namespace fs = std::filesystem;

void ComparisonOptions::add_to(CLI::App& command) {
  command.add_option("--table", tables, "Table of `mixop data import`; several are joined by architecture");
  command.add_option("--seeds", seeds, "Searches of each row, with the seeds 0, 1, ..")
      ->check(CLI::Range(1, 1000000));
  command.add_option("--threads", threads, "Searches at a time; 0: one for each core")->check(CLI::Range(0, 1024));
  command.add_option("--format", format, "md, csv or tex")->check(CLI::IsMember({"md", "csv", "tex"}));
  command.add_option("--curves", curves,
                     "Anytime curves of the regret to this SVG file, their points beside it as CSV");
  command.add_option("-o,--output", output, "File of the table ('-': standard output)");
}

nas::Table ComparisonOptions::open() const {
  if (tables.empty()) throw UsageError("give a --table, made by mixop data import");
  return nas::Table::open(tables);
}

void ComparisonOptions::run_row(const nas::Table& table, const std::vector<nas::ComparedSearch>& searches,
                                const nas::StrategyChoice& choice, nas::Comparison& comparison,
                                std::vector<std::vector<nas::LabelledRuns>>& runs) const {
  std::vector<nas::LabelledRuns> found;
  comparison.rows.push_back(
      nas::compare(table, searches, choice, seeds, threads > 0 ? threads : kernels::default_threads(), found));
  std::fprintf(stderr, "%s: %d seeds in %.2f s\n", choice.label.c_str(), seeds,
               comparison.rows.back().wall_seconds);
  runs.resize(searches.size());
  for (size_t s = 0; s < searches.size(); ++s) runs[s].push_back(std::move(found[s]));
}

void ComparisonOptions::write_table(const nas::Comparison& comparison) const {
  const std::string text = nas::format_comparison(comparison, format == "md"    ? nas::TableFormat::kMarkdown
                                                              : format == "csv" ? nas::TableFormat::kCsv
                                                                                : nas::TableFormat::kLatex);
  if (output == "-") std::fwrite(text.data(), 1, text.size(), stdout);
  else autograd::write_file(output, text);
}

void ComparisonOptions::write(const nas::Table& table, const std::vector<nas::ComparedSearch>& searches,
                              const nas::Comparison& comparison,
                              const std::vector<std::vector<nas::LabelledRuns>>& runs) const {
  write_table(comparison);
  if (curves.empty()) return;
  for (size_t s = 0; s < searches.size(); ++s) {
    const nas::TableSearch& search = searches[s].search;
    // The last column reported of the data set that was searched: its test accuracy where there is one.
    const auto reports = nas::reported_columns(table, {search.protocol.dataset});
    const bool over_seconds = search.budget.seconds > 0;
    const auto drawn = nas::regret_curves(table, reports.back().column, runs[s], over_seconds);
    fs::path file = curves;
    if (searches.size() > 1)
      file.replace_filename(file.stem().string() + "-" + search.protocol.dataset + file.extension().string());
    autograd::write_file(file, nas::curves_svg(drawn, reports.back().heading, over_seconds));
    autograd::write_file(file.replace_extension(".csv"), nas::curves_csv(drawn, over_seconds));
  }
}

}  // namespace mixop::cli
