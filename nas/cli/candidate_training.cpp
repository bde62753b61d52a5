#include "nas/cli/candidate_training.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/checkpoint.h"
#include "autograd/files.h"
#include "datasets/random.h"
#include "nas/cli/device_option.h"
#include "nas/cli/keys.h"

namespace mixop::cli {
namespace {

constexpr int kCutout =
    16;  // side of the square when a space chooses cutout without a size (DeVries and Taylor 2017)

datasets::Augment augment_of(const Config& config, const datasets::Dataset& data, const std::string& choice) {
  datasets::Augment augment = training_augment(config, data);
  if (choice.empty()) return augment;
  augment.crop = augment.flip = false;
  augment.cutout = 0;
  for (size_t at = 0; at < choice.size();) {
    const size_t end = std::min(choice.find('+', at), choice.size());
    const std::string word = choice.substr(at, end - at);
    if (word == "crop") augment.crop = true;
    else if (word == "flip") augment.flip = true;
    else if (word == "cutout") augment.cutout = kCutout;
    else
      MIXOP_CHECK(word == "none", "augmentation '", choice, "': '", word, "' is none of none, crop, flip, cutout");
    at = end + 1;
  }
  return augment;
}

nas::TrainOptions options_of(const Config& c, const nas::TrainingChoices& choices) {
  nas::TrainOptions o;
  const std::string optimizer = choices.optimizer.empty() ? c.text("train.optimizer") : choices.optimizer;
  MIXOP_CHECK(optimizer == "sgd" || optimizer == "adam" || optimizer == "adamw", "optimiser '", optimizer,
              "' is none of sgd, adam, adamw");
  o.lr = choices.lr.value_or(c.real(optimizer == "sgd" ? "train.lr" : "train.adam_lr"));
  o.sgd = {.momentum = c.real("train.momentum"),
           .weight_decay = c.real("train.weight_decay"),
           .clip = c.real("train.grad_clip"),
           .nesterov = c.on("train.nesterov")};
  if (optimizer != "sgd")
    o.adam =
        autograd::Adam{.weight_decay = o.sgd.weight_decay, .clip = o.sgd.clip, .decoupled = optimizer == "adamw"};
  o.drop_path_prob = 0;
  return o;
}

}  // namespace

std::vector<Key> candidate_keys() {
  std::vector<Key> keys = {
      text_key("search.space", "--space", "nb201", "what is searched: NAME or NAME:KEY=VALUE,..."),
      int_key("search.seed", "--seed", 0, "of the strategy and of each candidate's training").in(0, kLargest),
      int_key("train.channels", "--channels", 8, "of the first stage of a candidate's network").in(1, 65536),
      int_key("train.cells", "--cells", 1, "cells in each stage").in(1, 1000),
      real_key("train.epochs", "--train-epochs", 1, "of a candidate, unless the strategy says how many")
          .in(1e-6, 1e6),
      int_key("train.batch", "--train-batch", 64, "images per step").in(1, 1000000),
      text_key("train.optimizer", "--train-optimizer", "sgd", "of the weights").one_of({"sgd", "adam", "adamw"}),
      real_key("train.lr", "--train-lr", 0.05, "learning rate of SGD, cosine to 0").at_least(0),
      real_key("train.adam_lr", "--train-adam-lr", 0.001, "of Adam and AdamW, cosine to 0").at_least(0),
      real_key("train.momentum", "--train-momentum", 0.9, "of SGD").in(0, 1),
      bool_key("train.nesterov", "--train-nesterov", true, "Nesterov's momentum"),
      real_key("train.weight_decay", "--train-weight-decay", 5e-4, "L2, added after clipping").at_least(0),
      real_key("train.grad_clip", "--train-grad-clip", 5, "global L2 norm of the gradient, 0: off").at_least(0),
      real_key("train.early_stop", "--early-stop", 0,
               "a candidate whose first epoch ends at or below this many times chance fails, 0: off")
          .at_least(0)};
  append(keys, data_keys(""));
  append(keys, {int_key("data.val_images", "--val-images", 5000, "training images kept back to score candidates")
                    .in(1, kLargest)});
  append(keys, device_keys());
  return keys;
}

CandidateData open_candidate_data(const Config& config) {
  CandidateData data;
  data.all = datasets::open_train(config.text("data.name"), config.text("data.root"));
  const int64_t validation = config.integer("data.val_images"), wanted = config.integer("data.train_images");
  const int64_t n = data.all.size(), train = wanted ? wanted : n - validation;
  MIXOP_CHECK(validation < n && train <= n - validation, "data.train_images = ", wanted,
              " and data.val_images = ", validation, ", but the data has only ", n, " training images");
  std::vector<int64_t> order = datasets::all_indices(n);
  nas::Random(0).shuffle(order);
  data.validation.assign(order.end() - validation, order.end());
  data.train.assign(order.begin(), order.begin() + train);
  return data;
}

nas::NetworkScale candidate_scale(const Config& config, const datasets::Dataset& data) {
  return {.channels = config.integer("train.channels"),
          .cells = static_cast<int>(config.integer("train.cells")),
          .classes = data.classes,
          .height = data.height,
          .width = data.width,
          .image_channels = data.channels};
}

CandidateTraining::CandidateTraining(const Config& config, const nas::Space& space, const nas::Candidate& candidate,
                                     const CandidateData& data)
    : config_(config), classes_(data.all.classes) {
  const nas::NetworkScale scale = candidate_scale(config, data.all);
  const nas::TrainingChoices choices = space.training(candidate.arch);
  nas::TrainOptions o = options_of(config, choices);
  o.net.height = scale.height;
  o.net.width = scale.width;
  o.net.image_channels = scale.image_channels;
  o.build = [&](nas::Graph& g, nas::Value images, nas::Stores& stores, bool training) {
    return space.build(g, images, stores, candidate.arch, scale, training);
  };
  o.seed = datasets::mix(static_cast<uint64_t>(config.integer("search.seed")), static_cast<uint64_t>(candidate.id));

  const datasets::Augment augment = augment_of(config, data.all, choices.augmentation);
  const datasets::Augment normalisation = datasets::normalisation_of(data.all);
  const bool resident = images_on_device(config);
  const int64_t batch = config.integer("train.batch");
  using datasets::Order;
  train_loader_ = std::make_unique<datasets::Loader>(data.all, data.train, batch, augment, Order::kShuffle,
                                                     datasets::mix(o.seed, 1), 3, content(resident));
  validation_loader_ = std::make_unique<datasets::Loader>(data.all, data.validation, batch, normalisation,
                                                          Order::kSequential, 0, 3, content(resident));
  const double epochs = candidate.epochs > 0 ? candidate.epochs : config.real("train.epochs");
  const auto per_epoch = static_cast<double>(train_loader_->batches_per_epoch());
  steps_ = std::max<int64_t>(1, std::llround(epochs * per_epoch));
  o.epochs = static_cast<int>(std::ceil(static_cast<double>(steps_) / per_epoch));

  nas::ImageSource images;
  if (resident) images = add_resident(resident_, "train", data.all);
  training_ =
      std::make_unique<nas::NetworkTraining>(o, batch_sizes(*train_loader_), batch_sizes(*validation_loader_),
                                             kernels::DType::kF32, compile_options(config), images, images);
  if (resident) fill_resident(resident_, "train", data.all, normalisation);
}

int64_t CandidateTraining::inherit(const std::string& file) {
  nas::Stores& stores = training_->stores();
  const auto inherited =
      autograd::inherit_safetensors(autograd::read_file(file), file, {&stores.weights, &stores.state});
  return static_cast<int64_t>(inherited.taken.size());
}

void CandidateTraining::keep(const std::string& file) {
  nas::Stores& stores = training_->stores();
  autograd::write_file(file, autograd::to_safetensors({&stores.weights, &stores.state}));
}

nas::Score CandidateTraining::validate() {
  nas::Score score;
  for (int64_t i = 0; i < validation_loader_->batches_per_epoch(); ++i)
    score += training_->evaluate(view(validation_loader_->next()));
  return score;
}

CandidateResult CandidateTraining::run() {
  const int64_t per_epoch = train_loader_->batches_per_epoch();
  for (int64_t done = 0; done < steps_;) {
    const auto epoch = static_cast<int>(done / per_epoch);
    training_->begin_epoch(epoch);
    for (const int64_t end = std::min(steps_, done + per_epoch); done < end; ++done) {
      const nas::Score score = training_->step(view(train_loader_->next()));
      if (!std::isfinite(score.loss))
        return {.failed = fmt::format("diverged: the loss is not finite in step {} of epoch {}",
                                      done % per_epoch + 1, epoch + 1)};
    }
    const double chance = 100.0 / static_cast<double>(classes_), least = config_.real("train.early_stop") * chance;
    if (epoch > 0 || done == steps_ || least == 0) continue;
    const double accuracy = 100 * validate().accuracy();
    if (accuracy <= least)
      return {.failed = fmt::format("stopped early: {:.2f} % after the first epoch, chance is {:.2f} %", accuracy,
                                    chance)};
  }
  const nas::Score score = validate();
  if (!std::isfinite(score.loss)) return {.failed = "diverged: the validation loss is not finite"};
  return {.accuracy = 100 * score.accuracy()};
}

}  // namespace mixop::cli
