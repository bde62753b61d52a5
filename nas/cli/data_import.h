// mixop data import: published benchmarks from comma-separated files to one table.
#pragma once

#include "nas/cli/commands.h"

namespace mixop::cli {

void add_data_import(CLI::App& data, Action& action);

}  // namespace mixop::cli
