#include "nas/cli/run_record.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "kernels/core/exec.h"
#include "nas/cli/machine.h"
#include "nas/cli/version.h"

namespace mixop::cli {
namespace {

Json arguments() {
  Json argv = Json::array();
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  for (std::string arg; std::getline(in, arg, '\0');) argv.push_back(arg);
  return argv;
}

// Variables that choose implementations, and with them the bits of the results.
Json environment() {
  Json set = Json::object();
  for (const char* name : {"MIXOP_IMPL", "MIXOP_FUSE"})
    if (const char* value = std::getenv(name)) set[name] = value;
  return set;
}

}  // namespace

int threads_of(const Config& config) {
  const auto n = static_cast<int>(config.integer("run.threads"));
  return n ? n : kernels::default_threads();
}

Json describe_run(const RunRecord& record, const Config& config, kernels::Device device) {
  return {{"command", record.command},
          {"argv", arguments()},
          {"version", kVersion},
          {"created", utc_now()},
          {"seed", record.seed},
          {"threads", threads_of(config)},
          {"host",
           {{"cpu", processor_name()},
            {"device", device_name(device)},
            {"binary_sha256", autograd::sha256(autograd::read_file("/proc/self/exe"))}}},
          {"environment", environment()},
          {"implementations", record.implementations},
          {"data", record.data},
          {"config", config.json()}};
}

void check_command(const Json& stored, const std::string& command, const std::string& out) {
  const std::string theirs = stored.value("command", "?");
  MIXOP_CHECK(theirs == command, out, ": is a run of `mixop ", theirs, "`, not of `mixop ", command, "`");
}

void check_resumable(const Json& stored, const Json& now, const std::filesystem::path& path, Progress& progress) {
  for (const auto& [key, value] : now.at("data").items())
    MIXOP_CHECK(stored.contains("data") && stored["data"].value(key, Json()) == value, path.string(),
                ": cannot resume: the data changed since the run began (", key, " was ",
                stored.contains("data") ? stored["data"].value(key, Json()).dump() : "none", ", is ", value.dump(),
                ")");
  for (const char* key : {"environment", "host"})
    if (stored.value(key, Json()) != now.at(key))
      progress.warn(fmt::format("{} differs from that of the run's beginning: the bits may differ", key));
}

}  // namespace mixop::cli
