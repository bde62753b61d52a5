#include <CLI/CLI.hpp>
#include <cstdio>

#include "kernels/core/check.h"
#include "nas/cli/commands.h"
#include "nas/cli/keys.h"
#include "nas/cli/recipes.h"
#include "nas/cli/run_command.h"
#include "nas/cli/train_seeds.h"
#include "nas/cli/train_task.h"
#include "nas/cli/transfer.h"
#include "nas/genotypes_published.h"

namespace mixop::cli {
namespace {

namespace fs = std::filesystem;

struct Train {
  RunFlags flags;
  Config config{train_keys()};
  std::string label = "arch";  // for the name of the run directory

  // What was given decides the fallbacks of the rest: space, recipe and --from, the later ones beating the earlier.
  void prepare(Config& c) {
    if (c.given("train.space") && c.text("train.space") != kCells)
      for (const auto& [key, value] : {std::pair{"train.layers", "5"}, std::pair{"train.init_channels", "16"},
                                       std::pair{"train.drop_path_prob", "0"}})
        c.suggest(key, value);
    apply_recipe(c.text("train.recipe"), c);
    if (const std::string& from = c.text("train.from"); !from.empty() && !flags.resume) suggest_network(from, c);
    if (!c.has("train.arch") && !flags.resume)
      throw UsageError("train: no architecture; give --arch NAME, its text or @file");
    if (Value* given = c.given("train.arch")) {
      auto& spec = std::get<std::string>(*given);
      if (nas::find_published(spec)) label = spec;
      spec = read_arch(c.text("train.space"), spec);
    }
  }

  std::string default_out(const Config& c, const std::string& end) const {
    return "runs/train-" + as_file_name(label) + "-" + as_file_name(c.text("data.name")) + "-" + end;
  }

  // `change` sets what the runs of several seeds differ in; `whole` is their common directory.
  int run_one(const RunFlags& f, const std::function<void(Config&)>& change, const std::string& whole) {
    RunCommand command;
    command.name = "train";
    command.invocation = "mixop train";
    command.whole = whole;
    command.prepare = [&](Config& c) {
      prepare(c);
      if (change) change(c);
    };
    command.default_out = [this](const Config& c) {
      return default_out(c, std::to_string(c.integer("train.seed")));
    };
    command.make = [&](Config& c, nas::Ledger& ledger, const autograd::CompileOptions& compile) {
      const bool goes_on = f.resume && fs::exists(fs::path(c.text("run.out")) / "ckpt" / "latest");
      return std::make_unique<TrainTask>(c, ledger, compile, goes_on);
    };
    return run_command(command, config, f);
  }

  int run_seeds() {
    prepare(config);
    const Value* given = config.given("run.out");
    const std::string out = given ? std::get<std::string>(*given) : default_out(config, "seeds");
    using Start = RunDirectory::Start;
    SeedRuns runs(out, flags.resume ? Start::kResume : flags.force ? Start::kForce : Start::kFresh);
    const Json* stored = runs.stored();
    config.resolve(stored ? &stored->at("config") : nullptr);
    std::vector<int64_t> seeds;
    if (config.given("train.seeds")) seeds = parse_seeds(config.text("train.seeds"), config.integer("train.seed"));
    if (stored) {
      const auto theirs = stored->at("seeds").get<std::vector<int64_t>>();
      MIXOP_CHECK(seeds.empty() || seeds == theirs, out, ": cannot resume with other seeds than ",
                  stored->at("seeds").dump(), "; leave --seeds out, or start over with --force");
      seeds = theirs;
    }
    if (seeds.empty()) throw UsageError("--seeds: there is nothing to resume in " + out + "; say how many");
    const Json common = config.json();
    const auto run_of = [&](const RunFlags& f, int64_t seed) {
      return run_one(
          f,
          [&](Config& c) {
            c.suggest(common);
            c.give("train.seed", seed);
            c.give("run.out", runs.run_of(seed).string());
          },
          out);
    };
    RunFlags each = flags;
    if (flags.dry_run) return run_of(each, seeds.front());
    runs.begin(seeds, common);
    each.force = false;
    each.resume = true;  // the directory may be new
    for (const int64_t seed : seeds) {
      if (runs.finished(seed)) continue;
      if (const int status = run_of(each, seed); status != kOk) return status;
      if (!runs.finished(seed)) return kOk;  // --max-steps
    }
    std::printf("\n%sdirectory of the runs: %s\n", runs.report(seeds).c_str(), out.c_str());
    return kOk;
  }

  int run() {
    config.collect();
    const Value* out = config.given("run.out");
    const bool resumes_seeds = flags.resume && out && SeedRuns::exists(std::get<std::string>(*out));
    return config.given("train.seeds") || resumes_seeds ? run_seeds() : run_one(flags, {}, "");
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
