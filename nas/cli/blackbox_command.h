// `mixop search STRATEGY` for the strategies that ask and are told.
#pragma once

#include "nas/cli/commands.h"

namespace mixop::cli {

/// Adds one sub-command for each strategy to the command `search`.
void add_blackbox(CLI::App& search, Action& action);

}  // namespace mixop::cli
