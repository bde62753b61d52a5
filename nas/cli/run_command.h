// What search and train do around their task: configuration, directory, run.json, resumption, exit status.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "nas/cli/task.h"

namespace mixop::cli {

struct RunFlags {
  bool resume = false, force = false, dry_run = false;
  void add_options(CLI::App& app);
};

struct RunCommand {
  std::string name;        ///< "search"
  std::string invocation;  ///< what to type to resume, without flags: "mixop search darts"
  std::string whole;       ///< the directory to resume, where the run is a part of several; empty: its own
  /// Rewrites what was given, before it is compared with a run to resume; may be empty.
  std::function<void(Config&)> prepare;
  /// The run directory when none is given.
  std::function<std::string(const Config&)> default_out;
  /// Opens the data, compiles the plans and books both.
  std::function<std::unique_ptr<Task>(Config&, nas::Ledger&, const autograd::CompileOptions&)> make;
};

/// Collects the configuration and runs; returns the exit status.
int run_command(const RunCommand& command, Config& config, const RunFlags& flags);

/// Letters, digits, '.' and '_' of a text; anything else becomes '-'. For directory names.
std::string as_file_name(const std::string& text);

}  // namespace mixop::cli
