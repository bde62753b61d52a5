// The keys of the configuration of each command.
#pragma once

#include <vector>

#include "nas/cli/config.h"

namespace mixop::cli {

std::vector<Key> search_keys();
std::vector<Key> train_keys();

}  // namespace mixop::cli
