#include <CLI/CLI.hpp>

#include "nas/cli/blackbox_command.h"
#include "nas/cli/commands.h"
#include "nas/cli/keys.h"
#include "nas/cli/run_command.h"
#include "nas/cli/search_task.h"
#include "nas/search/strategy.h"

namespace mixop::cli {
namespace {

struct Darts {
  RunFlags flags;
  Config config{search_keys()};

  int run() {
    RunCommand command;
    command.name = "search";
    command.invocation = "mixop search darts";
    command.default_out = [](const Config& c) {
      return "runs/darts-" + as_file_name(c.text("data.name")) + "-" + std::to_string(c.integer("search.seed"));
    };
    command.make = [](Config& c, nas::Ledger& ledger, const autograd::CompileOptions& compile) {
      return std::make_unique<SearchTask>(c, ledger, compile);
    };
    return run_command(command, config, flags);
  }
};

int refuse(const std::string& strategy) {
  std::vector<std::string> known = {"darts"};
  for (const nas::StrategyInfo* info : nas::strategies()) known.push_back(info->name);
  throw UsageError("search: " + (strategy.empty() ? "no strategy" : "unknown strategy '" + strategy + "'") +
                   "; there are: " + join(known));
}

}  // namespace

void add_search(CLI::App& app, Action& action) {
  CLI::App* search = app.add_subcommand("search", "search an architecture; each strategy has its own --help");
  search->callback([search, &action] {
    if (!search->get_subcommands().empty()) return;
    const auto words = search->remaining();
    action = [word = words.empty() ? "" : words.front()] { return refuse(word); };
  });
  CLI::App* sub = search->add_subcommand("darts", "first-order DARTS (Liu et al. 2019)");
  const auto darts = std::make_shared<Darts>();
  darts->flags.add_options(*sub);
  darts->config.add_options(*sub);
  sub->callback([darts, &action] { action = [darts] { return darts->run(); }; });
  add_blackbox(*search, action);
  search
      ->allow_extras();  // of a strategy that is not there, which is what to complain about; subs would inherit it
}

}  // namespace mixop::cli
