// Several trainings that differ in their seed alone: OUT/seed-N, one after the other, and what they say together.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "nas/cli/run_directory.h"

namespace mixop::cli {

/// "3": that many from `first` on; "3,5,8": these. Throws UsageError for anything else and for a seed given twice.
std::vector<int64_t> parse_seeds(const std::string& text, int64_t first);

/// Mean and deviation (of a sample: n - 1) of some numbers; the deviation of one is 0.
struct Spread {
  double mean = 0, deviation = 0;
};
Spread spread_of(const std::vector<double>& numbers);

/// The directory of the runs: seeds.json says which seeds and with what configuration.
class SeedRuns {
 public:
  static bool exists(const std::filesystem::path& out);
  /// Looks, and touches nothing. Throws mixop::Error when `out` holds something that `start` does not allow.
  SeedRuns(std::filesystem::path out, RunDirectory::Start start);

  /// {"seeds": [...], "config": {...}} of the runs to resume; null when there are none yet.
  const Json* stored() const { return stored_ ? &*stored_ : nullptr; }
  /// Removes what --force replaces and writes seeds.json unless the runs are resumed.
  void begin(const std::vector<int64_t>& seeds, const Json& config);

  std::filesystem::path run_of(int64_t seed) const { return out_ / ("seed-" + std::to_string(seed)); }
  bool finished(int64_t seed) const;
  /// Accuracies of the last and the best epochs of all seeds, their means and deviations: writes results.json,
  /// returns it as text. All seeds must be finished.
  std::string report(const std::vector<int64_t>& seeds) const;

 private:
  std::filesystem::path out_;
  RunDirectory::Start start_;
  std::optional<Json> stored_;
};

}  // namespace mixop::cli
