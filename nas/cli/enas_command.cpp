#include "nas/cli/enas_command.h"

#include "kernels/core/check.h"
#include "nas/cli/enas_keys.h"
#include "nas/cli/enas_task.h"
#include "nas/cli/run_command.h"

namespace mixop::cli {
namespace {

struct EnasCommand {
  explicit EnasCommand(std::string n) : name(std::move(n)), config(enas_keys(name)) {}

  std::string name;  ///< of the search and of its space
  RunFlags flags;
  Config config;

  int run() {
    RunCommand command;
    command.name = "search";
    command.invocation = "mixop search " + name;
    command.default_out = [this](const Config& c) {
      return "runs/" + name + "-" + as_file_name(c.text("data.name")) + "-" +
             std::to_string(c.integer("search.seed"));
    };
    command.make = [this](Config& c, nas::Ledger& ledger, const autograd::CompileOptions& compile) {
      const std::string& space = c.text("search.space");
      MIXOP_CHECK(space == name, c.text("run.out"), " is a search of ", space, "; go on with: mixop search ", space,
                  " --resume --out ", c.text("run.out"));
      return std::make_unique<EnasTask>(c, ledger, compile);
    };
    return run_command(command, config, flags);
  }
};

}  // namespace

std::vector<std::string> enas_search_names() { return {"enas-micro", "enas-macro", "enas-nb201"}; }

void add_enas_searches(CLI::App& search, Action& action) {
  for (const std::string& name : enas_search_names()) {
    CLI::App* sub = search.add_subcommand(name, "ENAS (Pham et al. 2018): shared weights and a controller in turn");
    const auto one = std::make_shared<EnasCommand>(name);
    one->flags.add_options(*sub);
    one->config.add_options(*sub);
    sub->callback([one, &action] { action = [one] { return one->run(); }; });
  }
}

}  // namespace mixop::cli
