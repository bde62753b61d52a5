// The keys of the configuration of each command.
#pragma once

#include <vector>

#include "nas/cli/config.h"

namespace mixop::cli {

constexpr int64_t kLargest = int64_t{1} << 53;  ///< whole numbers that JSON readers keep exact

std::vector<Key> search_keys();
std::vector<Key> train_keys();

/// Parts of those: the data and its augmentation (`fallback`: the name of the data set), where and how plans run,
/// and how progress is shown.
std::vector<Key> data_keys(const std::string& fallback);
std::vector<Key> device_keys();
Key progress_key();
void append(std::vector<Key>& to, std::vector<Key> keys);

}  // namespace mixop::cli
