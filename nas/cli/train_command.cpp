#include <CLI/CLI.hpp>

#include "nas/cli/commands.h"
#include "nas/cli/keys.h"
#include "nas/cli/run_command.h"
#include "nas/cli/train_task.h"
#include "nas/genotypes_published.h"

namespace mixop::cli {
namespace {

struct Train {
  RunFlags flags;
  Config config{train_keys()};
  std::string label = "arch";  // for the name of the run directory

  // A run keeps the genotype itself: a name or a file may mean another one later.
  void prepare(Config& c) {
    Value* given = c.given("train.arch");
    if (!given) {
      if (!flags.resume) throw UsageError("train: no architecture; give --arch NAME, a genotype text or @file");
      return;
    }
    auto& spec = std::get<std::string>(*given);
    if (nas::find_published(spec)) label = spec;
    spec = nas::format_genotype(nas::load_genotype(spec));
  }

  int run() {
    RunCommand command;
    command.name = "train";
    command.invocation = "mixop train";
    command.prepare = [this](Config& c) { prepare(c); };
    command.default_out = [this](const Config& c) {
      return "runs/train-" + as_file_name(label) + "-" + as_file_name(c.text("data.name")) + "-" +
             std::to_string(c.integer("train.seed"));
    };
    command.make = [](Config& c, nas::Ledger& ledger, const autograd::CompileOptions& compile) {
      return std::make_unique<TrainTask>(c, ledger, compile);
    };
    return run_command(command, config, flags);
  }
};

}  // namespace

void add_train(CLI::App& app, Action& action) {
  CLI::App* sub = app.add_subcommand("train", "train a derived network from scratch and test it");
  const auto train = std::make_shared<Train>();
  train->flags.add_options(*sub);
  train->config.add_options(*sub);
  sub->callback([train, &action] { action = [train] { return train->run(); }; });
}

}  // namespace mixop::cli
