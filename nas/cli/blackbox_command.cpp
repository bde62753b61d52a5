#include "nas/cli/blackbox_command.h"

#include <fmt/format.h>

#include <cstdio>

#include "kernels/core/check.h"
#include "nas/cli/blackbox_keys.h"
#include "nas/cli/blackbox_session.h"
#include "nas/cli/device_option.h"
#include "nas/cli/run_command.h"
#include "nas/cli/run_record.h"
#include "nas/cli/signals.h"
#include "nas/space/spaces.h"

namespace mixop::cli {
namespace {

constexpr int64_t kCheckpointBytes = 16 << 20;

struct Blackbox {
  explicit Blackbox(const nas::StrategyInfo& i) : info(i), config(blackbox_keys(i)) {}

  const nas::StrategyInfo& info;
  RunFlags flags;
  Config config;

  std::string default_out() const {
    const std::string& table = config.text("search.table");
    const std::string data = table.empty() ? config.text("data.name") : config.text("search.dataset");
    return "runs/" + info.name + "-" + as_file_name(config.text("search.space")) + "-" + as_file_name(data) + "-" +
           std::to_string(config.integer("search.seed"));
  }

  int run() {
    const nas::Stopwatch clock;
    config.collect();
    const Value* given = config.given("run.out");
    const std::string out = given ? std::get<std::string>(*given) : default_out();
    using Start = RunDirectory::Start;
    RunDirectory directory(out,
                           flags.resume  ? Start::kResume
                           : flags.force ? Start::kForce
                                         : Start::kFresh,
                           BlackboxSession::growing());
    const std::string command = "search " + info.name;
    const Json* stored = directory.stored();
    if (stored) check_command(*stored, command, out);
    config.resolve(stored ? &stored->at("config") : nullptr);
    config.fill("run.out", out);
    fill_blackbox(config);
    budget_of(config);
    const kernels::Device device = open_device(config.text("run.device"));
    stores_bf16(config.text("run.storage"), device);

    const auto space = nas::find_space(config.text("search.space"));
    const auto strategy =
        info.make(*space, strategy_settings(info, config), static_cast<uint64_t>(config.integer("search.seed")));
    const auto judge = make_evaluator(config, *space, out, strategy->parents().has_value());
    const std::string description =
        fmt::format("strategy: {}: {}\nspace: {}: {}\n", info.name, info.help, space->name(), space->describe()) +
        judge->describe();
    if (flags.dry_run) {
      std::printf("%s%s", config.toml().c_str(), description.c_str());
      return kOk;
    }
    install_signals();
    directory.prepare();
    Progress progress(config.text("run.progress"));
    progress.say(config.toml() + description);
    const Json record = describe_run({.command = command,
                                      .seed = config.integer("search.seed"),
                                      .implementations = Json::object(),
                                      .data = judge->data()},
                                     config, device);
    if (stored) check_resumable(*stored, record, directory.path(), progress);
    directory.begin(record, kCheckpointBytes);

    BlackboxSession session(config, *space, *strategy, *judge, directory, progress, clock);
    if (!session.restore()) directory.log(fmt::format("args = {}", config.json().dump()));
    const bool over = session.run();
    if (!over) {
      progress.say(fmt::format("mixop: {}: checkpoint after evaluation {}; go on with: mixop {} --resume --out {}",
                               stop_signal(), session.evaluations(), command, out));
      return kCheckpointed;
    }
    const std::string report = session.report();
    directory.log(report);
    std::printf("%srun directory: %s\n", report.c_str(), out.c_str());
    return kOk;
  }
};

}  // namespace

void add_blackbox(CLI::App& search, Action& action) {
  for (const nas::StrategyInfo* info : nas::strategies()) {
    CLI::App* sub = search.add_subcommand(info->name, info->help);
    const auto blackbox = std::make_shared<Blackbox>(*info);
    blackbox->flags.add_options(*sub);
    blackbox->config.add_options(*sub);
    sub->callback([blackbox, &action] { action = [blackbox] { return blackbox->run(); }; });
  }
}

}  // namespace mixop::cli
