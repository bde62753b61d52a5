// mixop compare-strategies: any strategies on any table, or finished searches that trained their candidates.
#include <memory>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/commands.h"
#include "nas/cli/compare_runs.h"
#include "nas/cli/comparison_options.h"
#include "nas/cli/usage.h"

namespace mixop::cli {
namespace {

struct CompareStrategies : ComparisonOptions {
  std::string space, strategies, noise = "mean";
  std::vector<std::string> runs;
  nas::TableSearch search;

  int run() { return runs.empty() ? search_table() : compare_directories(); }

  int compare_directories() {
    const ComparedRuns compared = compare_runs(runs);
    write_table(compared.comparison);
    if (!curves.empty()) autograd::write_file(curves, nas::plot_svg(compared.curves));
    return kOk;
  }

  int search_table() {
    if (strategies.empty()) throw UsageError("compare-strategies: give --strategies, or --runs");
    if (search.budget.seconds <= 0 && search.budget.evaluations <= 0)
      throw UsageError("compare-strategies: give --budget-seconds or --evaluations");
    const nas::Table table = open();
    if (!space.empty() && table.space().name() != space)
      throw UsageError("--space: " + tables[0] + " is a table over " + table.space().name() + ", not over " +
                       space);
    if (noise == "trial") search.protocol.noise = nas::TableProtocol::Noise::kTrial;
    const nas::TableEvaluator trial(table, search.protocol);
    if (search.budget.seconds > 0 && !trial.timed())
      throw UsageError("--budget-seconds: " + tables[0] + " has no training times; give --evaluations");
    const std::vector<nas::ComparedSearch> searches = {{search, nas::reported_columns(table, {})}};
    nas::Comparison comparison{.title = kernels::text(table.space().name(), ", ", search.protocol.dataset,
                                                      ", searched by the accuracy after ", trial.protocol().epochs,
                                                      " epochs; mean and standard deviation of ", seeds, " seeds"),
                               .headings = {},
                               .rows = {}};
    for (const nas::ReportedColumn& r : searches[0].reports) comparison.headings.push_back(r.heading);
    std::vector<std::vector<nas::LabelledRuns>> found;
    for (const nas::StrategyChoice& choice : nas::parse_strategies(strategies))
      run_row(table, searches, choice, comparison, found);
    write(table, searches, comparison, found);
    return kOk;
  }
};

}  // namespace

void add_compare_strategies(CLI::App& app, Action& action) {
  auto options = std::make_shared<CompareStrategies>();
  CLI::App* command = app.add_subcommand(
      "compare-strategies", "Several strategies, many seeds each, on a table; or searches that have run");
  options->add_to(*command);
  command->add_option("--space", options->space, "The space that the table must be over");
  CLI::Option* strategies = command->add_option("--strategies", options->strategies, "NAME[:SETTING=VALUE,..],..");
  command->add_option("--runs", options->runs, "Directories of mixop search: compare these, search nothing")
      ->excludes(strategies);
  command->add_option("--dataset", options->search.protocol.dataset, "Data set to search on");
  command->add_option("--epochs", options->search.protocol.epochs,
                      "Recorded schedule that guides the search; 0: 12 epochs, or the longest");
  command->add_option("--noise", options->noise, "mean of all runs, or one trial of them drawn for each evaluation")
      ->check(CLI::IsMember({"mean", "trial"}));
  command
      ->add_option("--budget-seconds", options->search.budget.seconds,
                   "Simulated seconds of a search; never passed")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--evaluations", options->search.budget.evaluations, "Evaluations of a search")
      ->check(CLI::NonNegativeNumber);
  command->callback([options, &action] { action = [options] { return options->run(); }; });
}

}  // namespace mixop::cli
