#include <CLI/CLI.hpp>

#include "kernels/core/check.h"
#include "nas/cli/blackbox_command.h"
#include "nas/cli/commands.h"
#include "nas/cli/enas_command.h"
#include "nas/cli/keys.h"
#include "nas/cli/path_command.h"
#include "nas/cli/run_command.h"
#include "nas/cli/search_task.h"
#include "nas/search/strategy.h"

namespace mixop::cli {
namespace {

/// A search that learns alphas.
struct AlphaSearch {
  explicit AlphaSearch(const nas::AlphaMethodInfo& i) : info(i), config(search_keys(i)) {}

  const nas::AlphaMethodInfo& info;
  RunFlags flags;
  Config config;

  int run() {
    RunCommand command;
    command.name = "search";
    command.invocation = "mixop search " + info.name;
    command.default_out = [this](const Config& c) {
      return "runs/" + info.name + "-" + as_file_name(c.text("data.name")) + "-" +
             std::to_string(c.integer("search.seed"));
    };
    command.make = [this](Config& c, nas::Ledger& ledger, const autograd::CompileOptions& compile) {
      const std::string& theirs = c.text("search.algo");
      MIXOP_CHECK(theirs == algo_name(info), c.text("run.out"), ": is a run of ", theirs, ", not of ", info.name);
      return std::make_unique<SearchTask>(info, c, ledger, compile);
    };
    return run_command(command, config, flags);
  }
};

int refuse(const std::string& strategy) {
  std::vector<std::string> known;
  for (const nas::AlphaMethodInfo* info : nas::alpha_methods()) known.push_back(info->name);
  for (const std::string& name : path_search_names()) known.push_back(name);
  for (const std::string& name : enas_search_names()) known.push_back(name);
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
  for (const nas::AlphaMethodInfo* info : nas::alpha_methods()) {
    CLI::App* sub = search->add_subcommand(info->name, info->help);
    const auto one = std::make_shared<AlphaSearch>(*info);
    one->flags.add_options(*sub);
    one->config.add_options(*sub);
    sub->callback([one, &action] { action = [one] { return one->run(); }; });
  }
  add_path_searches(*search, action);
  add_enas_searches(*search, action);
  add_blackbox(*search, action);
  search
      ->allow_extras();  // of a strategy that is not there, which is what to complain about; subs would inherit it
}

}  // namespace mixop::cli
