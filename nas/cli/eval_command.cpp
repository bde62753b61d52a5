#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <limits>

#include "autograd/checkpoint.h"
#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/checkpoint_store.h"
#include "nas/cli/class_report.h"
#include "nas/cli/commands.h"
#include "nas/cli/device_option.h"
#include "nas/cli/keys.h"
#include "nas/cli/train_task.h"

namespace mixop::cli {
namespace fs = std::filesystem;

namespace {

struct Eval {
  std::string run_path, data, root, checkpoint, device = "cpu", storage = "float32";
  int64_t batch = 0, images = 0;
  int threads = 0;
  bool graph = true, tf32 = false;

  Json read_run() const {
    const fs::path path = fs::path(run_path) / "run.json";
    MIXOP_CHECK(fs::is_regular_file(path), run_path, ": has no run.json, so it is not a run directory");
    Json run = Json::parse(autograd::read_file(path), nullptr, false);
    MIXOP_CHECK(run.is_object() && run.contains("config") && run.contains("data"), path.string(),
                ": damaged: not the JSON of a run");
    MIXOP_CHECK(run.value("command", "") == "train", run_path, ": is a run of `mixop ", run.value("command", "?"),
                "`; eval takes one of `mixop train`");
    return run;
  }

  Checkpoint load() const {
    if (!checkpoint.empty()) return read_checkpoint(checkpoint);
    const fs::path latest = fs::path(run_path) / "ckpt" / "latest";
    MIXOP_CHECK(fs::exists(latest), run_path, ": has no checkpoint yet");
    return read_checkpoint(latest);
  }

  int run() const {
    autograd::CompileOptions compile{
        .threads = threads, .device = open_device(device), .graph = graph, .tf32 = tf32};
    compile.bf16 = stores_bf16(storage, compile.device);
    const Json stored = read_run();
    Config config(train_keys());
    config.resolve(&stored.at("config"));
    const Checkpoint saved = load();
    const std::string name = data.empty() ? config.text("data.name") : data;
    const datasets::Dataset test =
        datasets::open_test(name, root.empty() && data.empty() ? config.text("data.root") : root);
    const nas::TrainOptions options = train_options(config, test, 1);
    const Json& norm = stored.at("data").at("normalisation");
    datasets::Augment augment = test_size(config);
    augment.mean = norm.at("mean").get<std::vector<float>>();
    augment.std = norm.at("std").get<std::vector<float>>();
    datasets::Loader loader(test, first_indices(test.size(), images, "--test-images"),
                            batch ? batch : config.integer("train.batch"), augment, datasets::Order::kSequential,
                            0);

    // A training plan, of one image, makes every tensor that the checkpoint holds.
    nas::NetworkTraining network(options, {1}, batch_sizes(loader), kernels::DType::kF32, compile);
    autograd::from_safetensors(saved.file("weights.safetensors"), (saved.path / "weights.safetensors").string(),
                               {&network.stores().weights, &network.stores().state});
    nas::Score score;
    nas::Confusion confusion(test.classes);
    const nas::Stopwatch watch;
    for (int64_t i = 0; i < loader.batches_per_epoch(); ++i)
      score += network.evaluate(view(loader.next()), &confusion);
    const double seconds = std::max(1e-9, watch.elapsed());
    std::printf("%s", fmt::format("checkpoint {}\nimages {}\nloss {:.6f}\ntop1 {:.2f} %\n{}\n{}{:.1f} images/s\n",
                                  fs::weakly_canonical(saved.path).string(), score.images, score.mean_loss(),
                                  100 * score.accuracy(), describe_averages(confusion),
                                  describe_classes(confusion, test.class_names),
                                  static_cast<double>(score.images) / seconds)
                          .c_str());
    return kOk;
  }
};

}  // namespace

void add_eval(CLI::App& app, Action& action) {
  CLI::App* sub = app.add_subcommand("eval", "test a trained network");
  const auto eval = std::make_shared<Eval>();
  sub->add_option("run", eval->run_path, "directory of a run of `mixop train`")->required();
  sub->add_option("--ckpt", eval->checkpoint, "checkpoint folder, else the run's latest");
  sub->add_option("--data", eval->data, "other data, of the same image size and classes");
  sub->add_option("--data-root", eval->root, "directory of its files");
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  sub->add_option("--batch", eval->batch, "images per batch, 0: as in training")
      ->check(CLI::Range(int64_t{0}, kMost));
  sub->add_option("--test-images", eval->images, "test the first N images, 0: all")
      ->check(CLI::Range(int64_t{0}, kMost));
  sub->add_option("--device", eval->device, "cpu, cuda or cuda:N");
  sub->add_flag("--graph,!--no-graph", eval->graph, "on a GPU replay each batch from a captured graph (default)");
  sub->add_flag("--tf32", eval->tf32, "on a GPU round the factors of matrix products to TF32");
  sub->add_option("--storage", eval->storage, "on a GPU how activations are stored: float32, bf16")
      ->check(CLI::IsMember(storage_names()));
  sub->add_option("--threads", eval->threads, "0: all cores")->check(CLI::Range(0, 4096));
  sub->callback([eval, &action] { action = [eval] { return eval->run(); }; });
}

}  // namespace mixop::cli
