// Published training recipes as defaults of `mixop train`, each flag of which may still be changed.
#pragma once

#include <string>
#include <vector>

#include "nas/cli/config.h"

namespace mixop::cli {

/// "none" and the names of the recipes.
std::vector<std::string> recipe_names();
/// Makes the settings of the recipe the defaults of the keys of `mixop train`; "none" changes nothing.
void apply_recipe(const std::string& name, Config& config);

}  // namespace mixop::cli
