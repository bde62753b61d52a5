#include "nas/cli/run_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "kernels/core/check.h"
#include "nas/cli/commands.h"
#include "nas/cli/device_option.h"
#include "nas/cli/run_record.h"
#include "nas/cli/session.h"
#include "nas/cli/signals.h"

namespace mixop::cli {
namespace {

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
  if (stored) check_command(*stored, command.name, out);
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
  const Json run = describe_run({.command = command.name,
                                 .seed = config.integer(command.name + ".seed"),
                                 .implementations = task->choices(),
                                 .data = task->data()},
                                config, compile.device);
  if (stored) check_resumable(*stored, run, directory.path(), progress);
  directory.begin(run, checkpoint_bytes(*task));

  Session session(config, directory, progress, *task, ledger, clock);
  if (!session.restore()) {
    directory.log(fmt::format("args = {}", config.json().dump()));
    directory.log(fmt::format("param size = {:f}MB", static_cast<double>(task->parameters()) * 1e-6));
  }
  const Session::Outcome outcome = session.run();
  const std::string resume =
      fmt::format("{} --resume --out {}", command.invocation, command.whole.empty() ? out : command.whole);
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
