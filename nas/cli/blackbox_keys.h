// The configuration of `mixop search STRATEGY` for the strategies that ask and are told.
#pragma once

#include "nas/cli/config.h"
#include "nas/search/loop.h"

namespace mixop::cli {

/// The strategy's settings as strategy.NAME with flag --NAME (--strategy-NAME where another key has that flag),
/// then budget, search, training, data and run.
std::vector<Key> blackbox_keys(const nas::StrategyInfo& strategy);

/// The values of those settings.
nas::Settings strategy_settings(const nas::StrategyInfo& strategy, const Config& config);

/// budget.*; throws UsageError when there is none.
nas::Budget budget_of(const Config& config);

/// Sets what depends on the evaluator and is not given; throws UsageError unless there is exactly one of --data and
/// --table.
void fill_blackbox(Config& config);

}  // namespace mixop::cli
