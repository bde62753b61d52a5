#include "nas/cli/train_task.h"

#include <fmt/format.h>

#include "datasets/random.h"
#include "nas/cli/transfer.h"

namespace mixop::cli {

TrainTask::TrainTask(Config& config, nas::Ledger& ledger, const autograd::CompileOptions& compile, bool goes_on) {
  nas::Stopwatch watch;
  split_ = datasets::open(config.text("data.name"), config.text("data.root"));
  const Augments augment = augments(config, split_.train);
  normalisation_ = augment.test;
  const int64_t batch = config.integer("train.batch"), eval_batch = config.integer("train.eval_batch");
  // Draws cannot say how colours and sizes change: such images are made here.
  const bool resident = images_on_device(config);
  const bool train_resident = resident && augment.training.is_draw();
  const bool test_resident = resident && augment.test.is_draw();
  const auto seed = static_cast<uint64_t>(config.integer("train.seed"));
  using datasets::Order;
  train_loader_ = std::make_unique<datasets::Loader>(
      split_.train, first_indices(split_.train.size(), config.integer("data.train_images"), "data.train_images"),
      batch, augment.training, Order::kShuffle, datasets::mix(seed, 1), 3, content(train_resident));
  test_loader_ = std::make_unique<datasets::Loader>(
      split_.test, first_indices(split_.test.size(), config.integer("data.test_images"), "data.test_images"),
      eval_batch ? eval_batch : batch, augment.test, Order::kSequential, 0, 3, content(test_resident));
  ledger.add(nas::Phase::kData, {.seconds = watch.lap()});

  options_ = train_options(config, split_.train, train_loader_->batches_per_epoch());
  size_ = measure(options_);
  const std::vector<int64_t> train_sizes = batch_sizes(*train_loader_), test_sizes = batch_sizes(*test_loader_);
  nas::ImageSource train_images, test_images;
  if (train_resident) train_images = add_resident(resident_, "train", split_.train);
  if (test_resident) test_images = add_resident(resident_, "test", split_.test);
  training_ = std::make_unique<nas::NetworkTraining>(options_, train_sizes, test_sizes, kernels::DType::kF32,
                                                     compile, train_images, test_images);
  if (train_resident) fill_resident(resident_, "train", split_.train, augment.training);
  if (test_resident) fill_resident(resident_, "test", split_.test, augment.test);
  if (const std::string& from = config.text("train.from"); !from.empty() && !goes_on)
    transferred_ = transfer_weights(from, training_->stores());
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
  nas::Confusion confusion(split_.test.classes);
  const auto score = evaluate_over(*test_loader_, test_cost_, ledger, go_on,
                                   [&](const nas::Batch& batch) { return training_->evaluate(batch, &confusion); });
  if (!score) return score;
  if (best_.images() == 0 || confusion.accuracy() > best_.accuracy()) best_ = confusion;
  last_ = confusion;
  evaluated_ = epoch_;
  return score;
}

void TrainTask::begin_epoch(int epoch) {
  epoch_ = epoch;
  training_->begin_epoch(epoch);
}

void TrainTask::end_epoch(int epoch, RunDirectory& directory) {
  if (evaluated_ == epoch) directory.log(describe_averages(last_));
}

void TrainTask::write_files(RunDirectory& directory) const {
  if (last_.images() == 0) return;
  const Names& names = split_.test.class_names;
  directory.write("confusion.csv", confusion_csv(last_, names));
  directory.write("confusion_best.csv", confusion_csv(best_, names));
  directory.write("classes.csv", classes_csv(last_, names));
  directory.write("classes_best.csv", classes_csv(best_, names));
}

Json TrainTask::state() const { return {{"last", last_.to_json()}, {"best", best_.to_json()}}; }

void TrainTask::restore(const Json& state) {
  if (!state.contains("last")) return;  // of a version that kept none
  last_ = nas::Confusion::from_json(state.at("last"));
  best_ = nas::Confusion::from_json(state.at("best"));
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
  text += '\n' + transferred_;
  text += fmt::format("data: {} of {}x{}x{}, {} classes; {} images to train, {} to test\n", d.name, d.height,
                      d.width, d.channels, d.classes, train_loader_->size(), test_loader_->size());
  if (options_.net.height != d.height || options_.net.width != d.width)
    text += fmt::format("images of the network: {}x{}\n", options_.net.height, options_.net.width);
  text += fmt::format("steps: {} an epoch, {} in all\n", steps_per_epoch(), steps_per_epoch() * epochs());
  return text + describe_memory(training_->stores(), training_->arena_bytes(),
                                split_.train.pixels.size() + split_.test.pixels.size(),
                                {{"weight_step", &training_->train_plan(train_cost_.rbegin()->first)},
                                 {"evaluation", &training_->eval_plan(test_cost_.rbegin()->first)}});
}

std::string TrainTask::report(RunDirectory& directory, const Evaluations& e, bool finished) {
  std::string text;
  Json results = {{"finished", finished}};
  if (e.last_epoch >= 0) {
    text += fmt::format("test accuracy {:.2f} % ({} images, epoch {}, the last); best {:.2f} % (epoch {})\n",
                        100 * e.last.accuracy(), e.last.images, e.last_epoch + 1, 100 * e.best.accuracy(),
                        e.best_epoch + 1);
    text += describe_averages(last_) + "\n" + describe_classes(last_, split_.test.class_names);
    results["last"] = evaluation_json(e.last_epoch + 1, e.last, last_);
    results["best"] = evaluation_json(e.best_epoch + 1, e.best, best_);
  }
  directory.write("results.json", results.dump(2) + "\n");
  text += fmt::format("{} parameters, {:.3f} MMAC an image\n", size_.parameters, size_.macs * 1e-6);
  if (!finished) text += "not finished\n";
  return text;
}

}  // namespace mixop::cli
