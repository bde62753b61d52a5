#include "nas/cli/path_command.h"

#include <CLI/CLI.hpp>

#include "nas/cli/path_task.h"
#include "nas/cli/run_command.h"

namespace mixop::cli {
namespace {

struct PathCommand {
  explicit PathCommand(const PathMethod& m) : method(m), config(path_keys(m)) {}

  const PathMethod& method;
  RunFlags flags;
  Config config;

  int run() {
    RunCommand command;
    command.name = "search";
    command.invocation = "mixop search " + method.name;
    command.default_out = [this](const Config& c) {
      return "runs/" + method.name + "-" + c.text("search.space") + "-" + as_file_name(c.text("data.name")) + "-" +
             std::to_string(c.integer("search.seed"));
    };
    command.make = [this](Config& c, nas::Ledger& ledger, const autograd::CompileOptions& compile) {
      return std::make_unique<PathTask>(method, c, ledger, compile);
    };
    return run_command(command, config, flags);
  }
};

}  // namespace

void add_path_searches(CLI::App& search, Action& action) {
  for (const PathMethod& method : path_methods()) {
    CLI::App* sub = search.add_subcommand(method.name, method.help);
    const auto command = std::make_shared<PathCommand>(method);
    command->flags.add_options(*sub);
    command->config.add_options(*sub);
    sub->callback([command, &action] { action = [command] { return command->run(); }; });
  }
}

std::vector<std::string> path_search_names() {
  std::vector<std::string> names;
  for (const PathMethod& method : path_methods()) names.push_back(method.name);
  return names;
}

}  // namespace mixop::cli
