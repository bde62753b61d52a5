#include "nas/cli/enas_task.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "datasets/random.h"
#include "kernels/core/check.h"
#include "nas/cli/enas_keys.h"
#include "nas/sharing/enas_macro.h"
#include "nas/sharing/enas_micro.h"
#include "nas/sharing/nb201_mixed.h"
#include "nas/space/nb201.h"

namespace mixop::cli {
namespace {

constexpr uint64_t kEvaluationStream = 1;  // of random numbers; the search has stream 0
constexpr size_t kShown = 10;              // architectures written down after an epoch

// Both parts of the images, at least one each. NAS-Bench-201 halves them as DARTS does.
datasets::IndexSplit split(const std::vector<int64_t>& all, const Config& config) {
  const auto n = static_cast<int64_t>(all.size());
  if (enas_space(config.text("search.space")) == nas::EnasSpace::kEdges)
    return datasets::darts_split(n, config.real("data.train_portion"));
  const double valid_portion = config.real("data.valid_portion");
  const auto valid = static_cast<int64_t>(std::llround(static_cast<double>(n) * valid_portion));
  MIXOP_CHECK(valid >= 1 && valid < n, "data.valid_portion = ", valid_portion, " of ", n,
              " images leaves no image to train on or none to validate with");
  return {{all.begin(), all.end() - valid}, {all.end() - valid, all.end()}};
}

}  // namespace

EnasTask::EnasTask(Config& config, nas::Ledger& ledger, const autograd::CompileOptions& compile)
    : options_(enas_options(config)),
      candidates_(config.integer("search.candidates")),
      finalists_(config.integer("search.finalists")) {
  nas::Stopwatch watch;
  train_ = datasets::open_train(config.text("data.name"), config.text("data.root"));
  fill_augment(config);
  const datasets::Augment augment = training_augment(config, train_);
  const auto parts =
      split(first_indices(train_.size(), config.integer("data.train_images"), "data.train_images"), config);
  const bool resident = images_on_device(config);
  using datasets::Order;
  const auto loader = [&](const std::vector<int64_t>& indices, const datasets::Augment& a, Order order,
                          uint64_t stream) {
    return std::make_unique<datasets::Loader>(train_, indices, config.integer("search.batch"), a, order,
                                              datasets::mix(options_.seed, stream), 3, content(resident));
  };
  train_loader_ = loader(parts.weights, augment, Order::kShuffle, 1);
  // Rewards are measured on augmented images, as in the authors' code; every one on a full batch.
  valid_loader_ = loader(parts.alphas, augment, Order::kRandomBatch, 2);
  eval_loader_ = loader(parts.alphas, datasets::normalisation_of(train_), Order::kSequential, 3);
  ledger.add(nas::Phase::kData, {.seconds = watch.lap()});

  nas::ImageSource images;
  if (resident) images = add_resident(resident_, "train", train_);
  const nas::EnasSearch::BatchSizes sizes{batch_sizes(*train_loader_), batch_sizes(*eval_loader_)};
  nas::SharedNetwork network = this->network(config);
  if (mixed_) table_ = std::make_unique<TableScore>(config, mixed_->space());
  search_ =
      std::make_unique<nas::EnasSearch>(options_, std::move(network), sizes, kernels::DType::kF32, compile, images);
  if (resident) fill_resident(resident_, "train", train_, augment);
  for (const int64_t n : sizes.train) weight_cost_[n] = nas::cost_of(search_->weight_plan(n), n);
  for (const int64_t n : sizes.score) score_cost_[n] = nas::cost_of(search_->score_plan(n), n);
  ledger.add(nas::Phase::kBuild,
             {.calls = static_cast<int64_t>(sizes.train.size() + sizes.score.size()), .seconds = watch.lap()});
}

// Also makes the space, whose sizes are the network's.
nas::SharedNetwork EnasTask::network(const Config& c) {
  if (options_.controller.space == nas::EnasSpace::kEdges) {
    space_ = std::make_unique<nas::Nb201Space>();
    mixed_ = nas::nb201_mixed_space({.scale = {.channels = c.integer("search.channels"),
                                               .cells = static_cast<int>(c.integer("search.cells")),
                                               .classes = train_.classes,
                                               .height = train_.height,
                                               .width = train_.width,
                                               .image_channels = train_.channels},
                                     .affine = c.on("search.affine"),
                                     .track = c.on("search.track")});
    return nas::shared_network(mixed_);
  }
  const auto fill = [&](auto o) {
    o.layers = static_cast<int>(c.integer("search.layers"));
    o.channels = c.integer("search.channels");
    o.classes = train_.classes;
    o.height = train_.height;
    o.width = train_.width;
    o.image_channels = train_.channels;
    o.keep = c.real("search.dropout_keep");
    o.seed = options_.seed;
    return o;
  };
  nas::SharedNetwork network;
  network.height = train_.height;
  network.width = train_.width;
  network.image_channels = train_.channels;
  using autograd::Graph;
  if (options_.controller.space == nas::EnasSpace::kMicro) {
    space_ = std::make_unique<nas::EnasMicroSpace>();
    auto o = fill(nas::EnasMicroOptions());
    o.auxiliary = c.on("search.auxiliary");
    o.evaluation_dropout = c.on("search.reward_dropout");
    network.build = [o](Graph& g, autograd::Value images, nas::Stores& stores, bool training) {
      return nas::build_enas_micro_child(g, images, stores, o, training);
    };
    network.choices = nas::enas_micro_choices;
  } else {
    space_ = std::make_unique<nas::EnasMacroSpace>(options_.controller.layers);
    const auto o = fill(nas::EnasMacroOptions());
    network.build = [o](Graph& g, autograd::Value images, nas::Stores& stores, bool training) {
      return nas::build_enas_macro_child(g, images, stores, o, training);
    };
    network.choices = [](const nas::Arch& arch) { return arch; };
  }
  return network;
}

int64_t EnasTask::steps_per_epoch() const {
  return train_loader_->batches_per_epoch() + int64_t{options_.updates} * options_.controller.aggregate;
}

std::vector<std::pair<std::string, datasets::Loader*>> EnasTask::loaders() {
  return {{"train", train_loader_.get()}, {"valid", valid_loader_.get()}, {"eval", eval_loader_.get()}};
}

void EnasTask::begin_epoch(int epoch) {
  epoch_ = epoch;
  search_->begin_epoch(epoch);
}

void EnasTask::step(std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  if (step_++ < train_loader_->batches_per_epoch()) {
    const datasets::Batch& batch = next(*train_loader_, ledger);
    queue_.add(search_->begin_weight_step(view(batch)), 1, nas::Phase::kWeightStep, weight_cost_.at(batch.size),
               scores, ledger);
    return;
  }
  settle(scores, ledger);
  const datasets::Batch& batch = next(*valid_loader_, ledger);
  nas::Stopwatch watch;
  const nas::Score score = search_->reward_step(view(batch));
  book(ledger, nas::Phase::kArchStep, score_cost_.at(batch.size), watch.lap());
  scores[0] += score;
  ++samples_.count;
  samples_.accuracy += score.accuracy();
  samples_.entropy += search_->last_sample().entropy;
}

void EnasTask::settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) { queue_.settle(scores, ledger); }

std::optional<nas::Score> EnasTask::evaluate(nas::Ledger& ledger, const GoOn& go_on) {
  autograd::TensorStore& state = search_->stores().state;
  const bool masks = state.find("counter") >= 0;
  const double counter = masks ? state.get("counter") : 0;
  nas::Random random(options_.seed, datasets::mix(kEvaluationStream, static_cast<uint64_t>(epoch_)));
  evaluated_.clear();
  const auto score = evaluate_over(*eval_loader_, score_cost_, ledger, go_on, [&](const nas::Batch& batch) {
    const nas::Arch arch = search_->sample(random).arch;
    const nas::Score one = search_->score(arch, batch);
    evaluated_.push_back({arch, one, {}});
    return one;
  });
  if (!score && masks) state.set("counter", counter);  // it will be done again
  return score;
}

void EnasTask::end_epoch(int epoch, RunDirectory& directory) {
  const auto shown = std::min({evaluated_.size(), static_cast<size_t>(candidates_), kShown});
  for (size_t i = 0; i < shown; ++i) {
    const Candidate& c = evaluated_[i];
    directory.genotypes().line(fmt::format("{}\t{:.4f}\t{}", epoch, c.quick.accuracy(), space_->format(c.arch)));
    directory.log(fmt::format("valid {:f} arch = {}", 100 * c.quick.accuracy(), space_->format(c.arch)));
  }
  evaluated_.clear();
  if (samples_.count) {
    const auto n = static_cast<double>(samples_.count);
    directory.log(fmt::format("controller: {} samples, accuracy {:f}, entropy {:f}, baseline {:f}", samples_.count,
                              100 * samples_.accuracy / n, samples_.entropy / n, search_->controller().baseline()));
    if (!first_samples_.count) first_samples_ = samples_;
    last_samples_ = samples_;
  }
  search_->controller().end_epoch();
  samples_ = {};
  step_ = 0;
}

Json EnasTask::state() const {
  Json samples = Json::array();
  for (const Samples& s : {samples_, first_samples_, last_samples_})
    samples.push_back({s.count, s.accuracy, s.entropy});
  return {{"search", search_->save()}, {"step", step_}, {"samples", samples}};
}

void EnasTask::restore(const Json& state) {
  search_->load(state.at("search"));
  step_ = state.at("step");
  const Json& samples = state.at("samples");
  const auto read = [](const Json& s) { return Samples{s.at(0), s.at(1), s.at(2)}; };
  samples_ = read(samples.at(0));
  first_samples_ = read(samples.at(1));
  last_samples_ = read(samples.at(2));
}

autograd::Choices EnasTask::choices() const {
  autograd::Choices all;
  for (const auto& [n, cost] : weight_cost_) add_choices(all, search_->weight_plan(n));
  for (const auto& [n, cost] : score_cost_) add_choices(all, search_->score_plan(n));
  return all;
}

Json EnasTask::data() const {
  return {{"name", train_.name},
          {"train", describe_part(train_)},
          {"weights_part", train_loader_->size()},
          {"rewards_part", valid_loader_->size()}};
}

}  // namespace mixop::cli
