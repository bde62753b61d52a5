// Candidates of a run looked up in benchmark tables.
#pragma once

#include "nas/cli/blackbox_evaluator.h"

namespace mixop::cli {

/// The keys --table, --dataset, --table-epochs, --noise, --objectives and those of MnasNet's reward.
std::vector<Key> table_keys();

/// Throws mixop::Error when a file is no table, is of another space, or lacks the data set, schedule or objectives.
std::unique_ptr<RunEvaluator> make_table_evaluator(const Config& config, const nas::Space& space);

}  // namespace mixop::cli
