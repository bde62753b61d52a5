#include <CLI/CLI.hpp>

#include "nas/cli/commands.h"
#include "nas/cli/keys.h"
#include "nas/cli/run_command.h"
#include "nas/cli/search_task.h"

namespace mixop::cli {
namespace {

struct Search {
  std::string strategy;
  RunFlags flags;
  Config config{search_keys()};

  int run() {
    if (strategy != "darts")
      throw UsageError("search: " + (strategy.empty() ? "no strategy" : "unknown strategy '" + strategy + "'") +
                       "; there is: darts");
    RunCommand command;
    command.name = "search";
    command.invocation = "mixop search " + strategy;
    command.default_out = [&](const Config& c) {
      return "runs/" + strategy + "-" + as_file_name(c.text("data.name")) + "-" +
             std::to_string(c.integer("search.seed"));
    };
    command.make = [](Config& c, nas::Ledger& ledger, const autograd::CompileOptions& compile) {
      return std::make_unique<SearchTask>(c, ledger, compile);
    };
    return run_command(command, config, flags);
  }
};

}  // namespace

void add_search(CLI::App& app, Action& action) {
  CLI::App* sub = app.add_subcommand("search", "search an architecture");
  const auto search = std::make_shared<Search>();
  sub->add_option("strategy", search->strategy, "darts: first-order DARTS");
  search->flags.add_options(*sub);
  search->config.add_options(*sub);
  sub->callback([search, &action] { action = [search] { return search->run(); }; });
}

}  // namespace mixop::cli
