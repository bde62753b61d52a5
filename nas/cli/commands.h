// The sub-commands of `mixop`; each adds its options to the app and, when chosen, runs and returns its exit status.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace mixop::cli {

/// Exit statuses (sysexits' 75 = try again).
enum Exit : int { kOk = 0, kFailed = 1, kUsage = 2, kCheckpointed = 75 };

/// Set by the chosen sub-command's callback: what main() runs after parsing.
using Action = std::function<int()>;

void add_search(CLI::App& app, Action& action);
void add_train(CLI::App& app, Action& action);
void add_eval(CLI::App& app, Action& action);
void add_derive(CLI::App& app, Action& action);
void add_arch(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_tune(CLI::App& app, Action& action);
void add_verify(CLI::App& app, Action& action);
void add_data(CLI::App& app, Action& action);
void add_query(CLI::App& app, Action& action);
void add_table(CLI::App& app, Action& action);
void add_compare_strategies(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
/// Hidden: what a search starts for each candidate that it trains.
void add_evaluate_candidate(CLI::App& app, Action& action);

}  // namespace mixop::cli
