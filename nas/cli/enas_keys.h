// Keys of `mixop search enas-micro|enas-macro|enas-nb201`, with the settings of the authors' scripts (of the
// benchmark's code for enas-nb201) as fallbacks.
#pragma once

#include <string>
#include <vector>

#include "nas/cli/config.h"
#include "nas/search/enas.h"

namespace mixop::cli {

/// Of "enas-micro", "enas-macro", "enas-nb201".
nas::EnasSpace enas_space(const std::string& name);
/// `space`: one of these names.
std::vector<Key> enas_keys(const std::string& space);
/// What the keys say.
nas::EnasOptions enas_options(const Config& config);

}  // namespace mixop::cli
