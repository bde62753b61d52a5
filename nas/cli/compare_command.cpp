// mixop compare-strategies: any strategies on any table.
#include <memory>

#include "kernels/core/check.h"
#include "nas/cli/commands.h"
#include "nas/cli/comparison_options.h"
#include "nas/cli/usage.h"

namespace mixop::cli {
namespace {

struct CompareStrategies : ComparisonOptions {
  std::string space, strategies, noise = "mean";
  nas::TableSearch search;

  int run() {
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
    std::vector<std::vector<nas::LabelledRuns>> runs;
    for (const nas::StrategyChoice& choice : nas::parse_strategies(strategies))
      run_row(table, searches, choice, comparison, runs);
    write(table, searches, comparison, runs);
    return kOk;
  }
};

}  // namespace

void add_compare_strategies(CLI::App& app, Action& action) {
  auto options = std::make_shared<CompareStrategies>();
  CLI::App* command =
      app.add_subcommand("compare-strategies", "Search a table with several strategies, many seeds each");
  options->add_to(*command);
  command->add_option("--space", options->space, "The space that the table must be over");
  command->add_option("--strategies", options->strategies, "NAME[:SETTING=VALUE,..],..")->required();
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
