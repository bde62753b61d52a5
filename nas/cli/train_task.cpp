#include "nas/cli/train_task.h"

#include <fmt/format.h>

#include "datasets/random.h"
#include "nas/genotypes_published.h"

namespace mixop::cli {

nas::TrainOptions train_options(const Config& c, const datasets::Dataset& data) {
  nas::TrainOptions o;
  o.net.genotype = nas::parse_genotype(c.text("train.arch"));
  o.net.channels = c.integer("train.init_channels");
  o.net.cells = static_cast<int>(c.integer("train.layers"));
  o.net.auxiliary = c.on("train.auxiliary");
  o.net.classes = data.classes;
  o.net.height = data.height;
  o.net.width = data.width;
  o.net.image_channels = data.channels;
  o.epochs = static_cast<int>(c.integer("train.epochs"));
  o.seed = static_cast<uint64_t>(c.integer("train.seed"));
  o.lr = c.real("weights.lr");
  o.lr_min = c.real("weights.lr_min");
  o.sgd.momentum = c.real("weights.momentum");
  o.sgd.weight_decay = c.real("weights.weight_decay");
  o.sgd.clip = c.real("weights.grad_clip");
  o.auxiliary_weight = c.real("train.auxiliary_weight");
  o.label_smoothing = c.real("train.label_smoothing");
  o.drop_path_prob = c.real("train.drop_path_prob");
  o.net.check();
  return o;
}

TrainTask::TrainTask(Config& config, nas::Ledger& ledger, const autograd::CompileOptions& compile) {
  nas::Stopwatch watch;
  split_ = datasets::open(config.text("data.name"), config.text("data.root"));
  options_ = train_options(config, split_.train);
  size_ = nas::measure_network(options_.net);
  fill_augment(config);
  const datasets::Augment augment = training_augment(config, split_.train);
  normalisation_ = datasets::normalisation_of(split_.train);
  const int64_t batch = config.integer("train.batch"), eval_batch = config.integer("train.eval_batch");
  const bool resident = images_on_device(config);
  using datasets::Order;
  train_loader_ = std::make_unique<datasets::Loader>(
      split_.train, first_indices(split_.train.size(), config.integer("data.train_images"), "data.train_images"),
      batch, augment, Order::kShuffle, datasets::mix(options_.seed, 1), 3, content(resident));
  test_loader_ = std::make_unique<datasets::Loader>(
      split_.test, first_indices(split_.test.size(), config.integer("data.test_images"), "data.test_images"),
      eval_batch ? eval_batch : batch, normalisation_, Order::kSequential, 0, 3, content(resident));
  ledger.add(nas::Phase::kData, {.seconds = watch.lap()});

  const std::vector<int64_t> train_sizes = batch_sizes(*train_loader_), test_sizes = batch_sizes(*test_loader_);
  nas::ImageSource train_images, test_images;
  if (resident) {
    train_images = add_resident(resident_, "train", split_.train);
    test_images = add_resident(resident_, "test", split_.test);
  }
  training_ = std::make_unique<nas::NetworkTraining>(options_, train_sizes, test_sizes, kernels::DType::kF32,
                                                     compile, train_images, test_images);
  if (resident) {
    fill_resident(resident_, "train", split_.train, augment);
    fill_resident(resident_, "test", split_.test, normalisation_);
  }
  for (const int64_t n : train_sizes) train_cost_[n] = nas::cost_of(training_->train_plan(n), n);
  for (const int64_t n : test_sizes) test_cost_[n] = nas::cost_of(training_->eval_plan(n), n);
  const auto plans = static_cast<int64_t>(train_sizes.size() + test_sizes.size());
  ledger.add(nas::Phase::kBuild, {.calls = plans, .seconds = watch.lap()});
}

std::vector<std::pair<std::string, datasets::Loader*>> TrainTask::loaders() {
  return {{"train", train_loader_.get()}, {"test", test_loader_.get()}};
}

void TrainTask::step(std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  const datasets::Batch& batch = next(*train_loader_, ledger);
  queue_.add(training_->begin_step(view(batch)), 0, nas::Phase::kWeightStep, train_cost_.at(batch.size), scores,
             ledger);
}

void TrainTask::settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) { queue_.settle(scores, ledger); }

autograd::Choices TrainTask::choices() const {
  autograd::Choices all;
  for (const auto& [n, cost] : train_cost_) add_choices(all, training_->train_plan(n));
  for (const auto& [n, cost] : test_cost_) add_choices(all, training_->eval_plan(n));
  return all;
}

std::optional<nas::Score> TrainTask::evaluate(nas::Ledger& ledger, const GoOn& go_on) {
  return evaluate_over(*test_loader_, test_cost_, ledger, go_on,
                       [&](const nas::Batch& batch) { return training_->evaluate(batch); });
}

Json TrainTask::data() const {
  return {{"name", split_.train.name},
          {"train", describe_part(split_.train)},
          {"test", describe_part(split_.test)},
          {"normalisation", {{"mean", normalisation_.mean}, {"std", normalisation_.std}}}};
}

std::string TrainTask::describe() const {
  std::string text =
      fmt::format("network: {} parameters, {:.3f} MMAC an image", size_.parameters, size_.macs * 1e-6);
  if (size_.auxiliary_parameters)
    text += fmt::format("; auxiliary head: {} parameters more", size_.auxiliary_parameters);
  const datasets::Dataset& d = split_.train;
  text += fmt::format("\ndata: {} of {}x{}x{}, {} classes; {} images to train, {} to test\n", d.name, d.height,
                      d.width, d.channels, d.classes, train_loader_->size(), test_loader_->size());
  text += fmt::format("steps: {} an epoch, {} in all\n", steps_per_epoch(), steps_per_epoch() * epochs());
  return text + describe_memory(training_->stores(), training_->arena_bytes(),
                                split_.train.pixels.size() + split_.test.pixels.size(),
                                {{"weight_step", &training_->train_plan(train_cost_.rbegin()->first)},
                                 {"evaluation", &training_->eval_plan(test_cost_.rbegin()->first)}});
}

std::string TrainTask::report(RunDirectory&, const Evaluations& e, bool finished) {
  std::string text;
  if (e.last_epoch >= 0)
    text += fmt::format("test accuracy {:.2f} % ({} images, epoch {}, the last); best {:.2f} % (epoch {})\n",
                        100 * e.last.accuracy(), e.last.images, e.last_epoch + 1, 100 * e.best.accuracy(),
                        e.best_epoch + 1);
  text += fmt::format("{} parameters, {:.3f} MMAC an image\n", size_.parameters, size_.macs * 1e-6);
  if (!finished) text += "not finished\n";
  return text;
}

}  // namespace mixop::cli
