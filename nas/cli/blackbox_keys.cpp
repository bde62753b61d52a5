#include "nas/cli/blackbox_keys.h"

#include "kernels/core/check.h"
#include "nas/cli/blackbox_table.h"
#include "nas/cli/candidate_training.h"
#include "nas/cli/keys.h"

namespace mixop::cli {
namespace {

std::vector<Key> common_keys(const nas::StrategyInfo& strategy) {
  std::vector<Key> keys;
  append(keys, {real_key("budget.seconds", "--budget-seconds", 0, "sum of the candidates' costs, 0: any")
                    .at_least(0)
                    .when_resumed(OnResume::kMayChange),
                int_key("budget.evaluations", "--evaluations", 0, "candidates, 0: any")
                    .in(0, kLargest)
                    .when_resumed(OnResume::kMayChange),
                real_key("budget.target", "--target", 0, "stop at this accuracy in per cent, 0: never")
                    .in(0, 100)
                    .when_resumed(OnResume::kMayChange),
                bool_key("budget.strict", "--strict", {},
                         "leave out a candidate that would pass --budget-seconds; on for tables"),
                text_key("search.strategy", "", strategy.name, "").one_of({strategy.name})});
  append(keys, table_keys());
  append(
      keys,
      {int_key("search.under_way", "--under-way", 4,
               "candidates asked for before the first of them is told; part of the result, unlike --workers. "
               "Tables: 1")
           .in(1, 4096),
       int_key("search.workers", "--workers", 1, "processes that train candidates; any number gives the same bits")
           .in(1, 4096)
           .when_resumed(OnResume::kMayChange),
       real_key("search.candidate_limit", "--candidate-limit", 0, "seconds a candidate may take, 0: any")
           .at_least(0)
           .when_resumed(OnResume::kMayChange)});
  append(keys, candidate_keys());
  append(keys,
         {text_key("run.out", "--out", {}, "run directory").when_resumed(OnResume::kForget),
          real_key("run.ckpt_seconds", "--ckpt-seconds", 1, "seconds between checkpoints, 0: after every candidate")
              .at_least(0)
              .when_resumed(OnResume::kMayChange),
          int_key("run.keep", "--keep", 2, "checkpoints kept").in(1, 1000000).when_resumed(OnResume::kMayChange),
          progress_key()});
  return keys;
}

}  // namespace

std::vector<Key> blackbox_keys(const nas::StrategyInfo& strategy) {
  std::vector<Key> common = common_keys(strategy), keys = setting_keys(strategy.settings, common);
  append(keys, std::move(common));
  return keys;
}

nas::Settings strategy_settings(const nas::StrategyInfo& strategy, const Config& config) {
  return settings_of(strategy.settings, config);
}

nas::Budget budget_of(const Config& config) {
  const nas::Budget budget{.seconds = config.real("budget.seconds"),
                           .evaluations = config.integer("budget.evaluations"),
                           .accuracy = config.real("budget.target"),
                           .strict = config.on("budget.strict")};
  if (budget.seconds == 0 && budget.evaluations == 0 && budget.accuracy == 0)
    throw UsageError("search: no budget; give --evaluations, --budget-seconds or --target");
  return budget;
}

void fill_blackbox(Config& config) {
  const bool table = !config.text("search.table").empty(), data = !config.text("data.name").empty();
  if (table == data)
    throw UsageError(
        table ? "search: --data and --table exclude each other"
              : "search: nothing judges the candidates; give --table FILE, or --data NAME to train them");
  config.fill("budget.strict", table);
  fill_augment(config);
}

}  // namespace mixop::cli
