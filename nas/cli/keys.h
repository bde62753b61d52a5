// The keys of the configuration of each command.
#pragma once

#include <vector>

#include "nas/cli/config.h"
#include "nas/search/alpha_method.h"

namespace mixop::cli {

constexpr int64_t kLargest = int64_t{1} << 53;  ///< whole numbers that JSON readers keep exact

/// Of a search that learns alphas: with the method's settings and its values of the others.
std::vector<Key> search_keys(const nas::AlphaMethodInfo& method);
/// How a configuration calls it: "darts1" or the method's name.
std::string algo_name(const nas::AlphaMethodInfo& method);
std::vector<Key> train_keys();

/// Parts of those: the data and its augmentation (`fallback`: the name of the data set), where and how plans run,
/// and how progress is shown.
std::vector<Key> data_keys(const std::string& fallback);
std::vector<Key> device_keys();
/// Those of a run with a directory: where, how often it evaluates and writes.
std::vector<Key> run_keys();
Key progress_key();
/// Settings as strategy.NAME with flag --NAME, or --strategy-NAME where one of `others` has that flag.
std::vector<Key> setting_keys(const std::vector<nas::Setting>& settings, const std::vector<Key>& others);
/// Their values.
nas::Settings settings_of(const std::vector<nas::Setting>& settings, const Config& config);
void append(std::vector<Key>& to, std::vector<Key> keys);

}  // namespace mixop::cli
