// run.json: what a run says of itself when it begins, and what must still hold when it is resumed.
#pragma once

#include <filesystem>
#include <string>

#include "nas/cli/config.h"
#include "nas/cli/progress.h"

namespace mixop::cli {

struct RunRecord {
  std::string command;  ///< "train", "search random"
  int64_t seed = 0;
  Json implementations;  ///< of each call, where the run has plans
  Json data;             ///< names, sizes and checksums
};

/// The content of run.json, with the machine, the arguments and the configuration.
Json describe_run(const RunRecord& record, const Config& config, kernels::Device device);
/// Throws mixop::Error unless the stored run.json is of that command; `out` names the run.
void check_command(const Json& stored, const std::string& command, const std::string& out);
/// What must be the same, apart from the configuration, for the same bits: throws mixop::Error when the data is
/// not; what only may make a difference warns.
void check_resumable(const Json& stored, const Json& now, const std::filesystem::path& path, Progress& progress);

/// run.threads, or all cores.
int threads_of(const Config& config);

}  // namespace mixop::cli
