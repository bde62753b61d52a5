// `mixop search enas-micro|enas-macro|enas-nb201`.
#pragma once

#include <string>
#include <vector>

#include "nas/cli/commands.h"

namespace mixop::cli {

std::vector<std::string> enas_search_names();
/// Adds one sub-command for each to the command `search`.
void add_enas_searches(CLI::App& search, Action& action);

}  // namespace mixop::cli
