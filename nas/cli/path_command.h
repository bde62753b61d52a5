// The sub-commands of `mixop search` that share weights by sampled paths.
#pragma once

#include <string>
#include <vector>

#include "nas/cli/commands.h"

namespace mixop::cli {

void add_path_searches(CLI::App& search, Action& action);
std::vector<std::string> path_search_names();

}  // namespace mixop::cli
