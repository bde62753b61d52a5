#include "nas/cli/run_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "kernels/core/exec.h"
#include "nas/cli/commands.h"
#include "nas/cli/device_option.h"
#include "nas/cli/machine.h"
#include "nas/cli/session.h"
#include "nas/cli/signals.h"
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

int threads_of(const Config& config) {
  const auto n = static_cast<int>(config.integer("run.threads"));
  return n ? n : kernels::default_threads();
}

Json describe_run(const std::string& command, const Config& config, const Task& task, kernels::Device device) {
  return {{"command", command},
          {"argv", arguments()},
          {"version", kVersion},
          {"created", utc_now()},
          {"seed", config.integer(command + ".seed")},
          {"threads", threads_of(config)},
          {"host",
           {{"cpu", processor_name()},
            {"device", device_name(device)},
            {"binary_sha256", autograd::sha256(autograd::read_file("/proc/self/exe"))}}},
          {"environment", environment()},
          {"implementations", task.choices()},
          {"data", task.data()},
          {"config", config.json()}};
}

// What must be the same, apart from the configuration, for the same bits; what may make a difference only warns.
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

int64_t checkpoint_bytes(Task& task) {
  int64_t bytes = 1 << 20;
  for (autograd::TensorStore* store : task.stores().all())
    bytes += store->elements() * static_cast<int64_t>(kernels::size_of(store->dtype()));
  return bytes;
}

/// The implementations that the run to resume used.
std::shared_ptr<const autograd::Choices> recorded_choices(const Json* stored) {
  if (!stored || !stored->contains("implementations")) return nullptr;
  return std::make_shared<autograd::Choices>(stored->at("implementations").get<autograd::Choices>());
}

}  // namespace

void RunFlags::add_options(CLI::App& app) {
  auto* resume_option = app.add_flag("--resume", resume, "go on with the run in --out");
  app.add_flag("--force", force, "replace the run in --out")->excludes(resume_option);
  app.add_flag("--dry-run", dry_run, "print configuration, sizes and memory, and stop");
}

std::string as_file_name(const std::string& text) {
  std::string name = text;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_') c = '-';
  return name;
}

int run_command(const RunCommand& command, Config& config, const RunFlags& flags) {
  const nas::Stopwatch clock;
  config.collect();
  if (command.prepare) command.prepare(config);
  const Value* given = config.given("run.out");
  const std::string out = given ? std::get<std::string>(*given) : command.default_out(config);
  using Start = RunDirectory::Start;
  RunDirectory directory(out, flags.resume ? Start::kResume : flags.force ? Start::kForce : Start::kFresh);
  const Json* stored = directory.stored();
  if (stored)
    MIXOP_CHECK(stored->value("command", "") == command.name, out, ": is a run of `mixop ",
                stored->value("command", "?"), "`, not of `mixop ", command.name, "`");
  config.resolve(stored ? &stored->at("config") : nullptr);
  config.fill("run.out", out);
  autograd::CompileOptions compile = compile_options(config);
  compile.recorded = recorded_choices(stored);
  CheckpointInterval::parse(config.text("run.ckpt_every"));  // a mistake shows before any work
  if (!flags.dry_run) {
    install_signals();
    directory.prepare();
  }

  nas::Ledger ledger;
  const std::unique_ptr<Task> task = command.make(config, ledger, compile);
  if (flags.dry_run) {
    std::printf("%s%s", config.toml().c_str(), task->describe().c_str());
    return kOk;
  }
  check_device_memory(config, task->device_bytes());
  Progress progress(config.text("run.progress"));
  progress.say(config.toml() + task->describe());
  const Json run = describe_run(command.name, config, *task, compile.device);
  if (stored) check_resumable(*stored, run, directory.path(), progress);
  directory.begin(run, checkpoint_bytes(*task));

  Session session(config, directory, progress, *task, ledger, clock);
  if (!session.restore()) {
    directory.log(fmt::format("args = {}", config.json().dump()));
    directory.log(fmt::format("param size = {:f}MB", static_cast<double>(task->parameters()) * 1e-6));
  }
  const Session::Outcome outcome = session.run();
  const std::string resume = fmt::format("{} --resume --out {}", command.invocation, out);
  if (outcome == Session::Outcome::kInterrupted) {
    progress.say(fmt::format("mixop: {}: checkpoint after step {}; go on with: {}", stop_signal(),
                             session.steps_done(), resume));
    return kCheckpointed;
  }
  const bool finished = outcome == Session::Outcome::kDone;
  if (!finished) progress.say(fmt::format("stopped after step {}; go on with: {}", session.steps_done(), resume));
  const std::string report = task->report(directory, session.evaluations(), finished);
  std::printf("%s%s\nrun directory: %s\n", report.c_str(), ledger.table().c_str(), out.c_str());
  return kOk;
}

}  // namespace mixop::cli
