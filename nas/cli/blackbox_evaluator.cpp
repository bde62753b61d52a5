#include "nas/cli/blackbox_evaluator.h"

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "nas/cli/blackbox_table.h"
#include "nas/cli/candidate_training.h"
#include "nas/cli/run_record.h"
#include "nas/network.h"

namespace mixop::cli {
namespace {

// Flags of the worker's command that are not part of the recorded configuration.
std::vector<std::string> worker_command(const Config& config) {
  const auto threads = std::max<int64_t>(1, threads_of(config) / config.integer("search.workers"));
  std::vector<std::string> command = {std::filesystem::read_symlink("/proc/self/exe"), "evaluate-candidate",
                                      "--threads", std::to_string(threads),
                                      config.on("run.graph") ? "--graph" : "--no-graph"};
  if (!config.text("run.tuning").empty())
    command.insert(command.end(), {"--tuning", std::filesystem::absolute(config.text("run.tuning"))});
  return command;
}

class Training final : public RunEvaluator {
 public:
  Training(const Config& config, const nas::Space& space, const std::filesystem::path& run, bool inherits)
      : space_(space),
        workers_({.run = std::filesystem::absolute(run),
                  .command = worker_command(config),
                  .config = config.json(),
                  .under_way = static_cast<int>(config.integer("search.under_way")),
                  .workers = static_cast<int>(config.integer("search.workers")),
                  .limit = config.real("search.candidate_limit"),
                  .keep_weights = inherits}) {
    const CandidateData data = open_candidate_data(config);
    scale_ = candidate_scale(config, data.all);
    // A first architecture shows now that the space has networks.
    nas::Random random(0);
    const nas::NetworkSize size = measure(space.sample(random));
    description_ = fmt::format(
        "candidates: trained for {} epochs of {} images ({}, {}x{}x{}, {} classes), scored on {} others; "
        "{} channels, {} cells a stage, such as {} parameters; costs are measured seconds\n",
        config.real("train.epochs"), data.train.size(), data.all.name, scale_.height, scale_.width,
        scale_.image_channels, scale_.classes, data.validation.size(), scale_.channels, scale_.cells,
        size.parameters);
    data_ = {{"name", data.all.name},
             {"train", describe_part(data.all)},
             {"used", {{"train", data.train.size()}, {"validation", data.validation.size()}}}};
  }

  nas::Evaluator& evaluator() override { return workers_; }
  CandidateWorkers* workers() override { return &workers_; }
  Json data() const override { return data_; }
  std::string describe() const override { return description_; }
  std::string report(const nas::Arch& best) const override {
    const nas::NetworkSize size = measure(best);
    return fmt::format("{} parameters, {:.3f} MMAC an image\n", size.parameters, size.macs * 1e-6);
  }

 private:
  nas::NetworkSize measure(const nas::Arch& arch) const {
    return nas::measure_network(
        [&](nas::Graph& g, nas::Value images, nas::Stores& stores, bool training) {
          return space_.build(g, images, stores, arch, scale_, training);
        },
        scale_.height, scale_.width, scale_.image_channels);
  }

  const nas::Space& space_;
  CandidateWorkers workers_;
  nas::NetworkScale scale_;
  std::string description_;
  Json data_;
};

}  // namespace

std::unique_ptr<RunEvaluator> make_evaluator(const Config& config, const nas::Space& space,
                                             const std::filesystem::path& run, bool inherits) {
  if (!config.text("search.table").empty()) return make_table_evaluator(config, space);
  return std::make_unique<Training>(config, space, run, inherits);
}

}  // namespace mixop::cli
