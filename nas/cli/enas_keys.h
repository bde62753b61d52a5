// Keys of `mixop search enas-micro|enas-macro`, with the settings of the authors' scripts as fallbacks.
#pragma once

#include <string>
#include <vector>

#include "nas/cli/config.h"
#include "nas/search/enas.h"

namespace mixop::cli {

/// `space`: "enas-micro" or "enas-macro".
std::vector<Key> enas_keys(const std::string& space);
/// What the keys say.
nas::EnasOptions enas_options(const Config& config);

}  // namespace mixop::cli
