#include "nas/cli/path_task.h"

#include <fmt/format.h>

#include "datasets/random.h"
#include "kernels/core/check.h"
#include "nas/cli/search_report.h"
#include "nas/cli/shared_space.h"
#include "nas/sharing/path_pruning.h"

namespace mixop::cli {
namespace {

/// Streams of random numbers of a run's seed.
enum Stream : uint64_t { kTrainOrder = 1, kValidOrder = 2, kRecalibrationOrder = 3, kPaths = 4, kEvaluated = 5 };

bool prunes(const Config& c, const PathMethod& method) {
  return method.path_dropout && c.text("select.by") == "pruning";
}

nas::PathOptions path_options(const Config& c, const PathMethod& method) {
  nas::PathOptions o;
  o.epochs = static_cast<int>(c.integer("search.epochs"));
  o.schedule = c.text("weights.schedule") == "linear" ? nas::PathOptions::Schedule::kLinear
                                                      : nas::PathOptions::Schedule::kCosine;
  o.lr = c.real("weights.lr");
  o.lr_min = c.real("weights.lr_min");
  o.weights = {.momentum = c.real("weights.momentum"),
               .weight_decay = c.real("weights.weight_decay"),
               .clip = c.real("weights.grad_clip"),
               .nesterov = c.on("weights.nesterov")};
  o.label_smoothing = c.real("search.label_smoothing");
  o.seed = static_cast<uint64_t>(c.integer("search.seed"));
  if (method.path_dropout) {
    o.ghost = c.integer("search.ghost");
    if (prunes(c, method)) o.candidates = nas::Candidates::kAll;
  }
  return o;
}

Json to_json(const std::vector<nas::ScoredPath>& scored) {
  Json json = Json::array();
  for (const nas::ScoredPath& s : scored) json.push_back({s.arch, s.round, s.accuracy});
  return json;
}
std::vector<nas::ScoredPath> scored_from(const Json& json) {
  std::vector<nas::ScoredPath> scored;
  for (const Json& s : json) scored.push_back({s.at(0).get<nas::Arch>(), s.at(1), s.at(2)});
  return scored;
}

void join(std::vector<int64_t>& sizes, const datasets::Loader& loader) {
  for (const int64_t n : batch_sizes(loader))
    if (std::find(sizes.begin(), sizes.end(), n) == sizes.end()) sizes.push_back(n);
}

}  // namespace

PathTask::PathTask(const PathMethod& method, Config& config, nas::Ledger& ledger,
                   const autograd::CompileOptions& compile)
    : training_epochs_(static_cast<int>(config.integer("search.epochs"))),
      recalibration_batches_(config.integer("select.recalibration_batches")),
      seed_(static_cast<uint64_t>(config.integer("search.seed"))),
      path_dropout_(method.path_dropout ? config.real("search.path_dropout") : -1),
      random_(seed_, kPaths) {
  nas::Stopwatch watch;
  fill_shared_space(config);
  const bool resident = images_on_device(config);
  open_data(config, resident);
  ledger.add(nas::Phase::kData, {.seconds = watch.lap()});

  std::shared_ptr<nas::MixedSpace> space = make_shared_space(config, train_);
  table_ = std::make_unique<TableScore>(config, space->space());
  nas::PathSearch::BatchSizes sizes{batch_sizes(*train_loader_), batch_sizes(*eval_loader_),
                                    batch_sizes(*recalibration_loader_)};
  join(sizes.valid, *valid_loader_);
  nas::PathScorer::Options scoring{.statistics = nas::parse_statistics(config.text("select.statistics"))};
  if (resident) scoring.train_images = scoring.valid_images = add_resident(resident_, "train", train_);
  search_ = std::make_unique<nas::PathSearch>(space, path_options(config, method), scoring, sizes,
                                              kernels::DType::kF32, compile);
  if (resident) fill_resident(resident_, "train", train_, datasets::normalisation_of(train_));
  for (const auto& [n, p] : search_->training_plans()) train_cost_[n] = nas::cost_of(p.plan, n);
  for (const auto& [n, p] : search_->scorer().scoring_plans()) score_cost_[n] = nas::cost_of(p.plan, n);
  for (const auto& [n, p] : search_->scorer().recalibration_plans())
    recalibration_cost_[n] = nas::cost_of(p.plan, n);
  const auto plans = static_cast<int64_t>(train_cost_.size() + score_cost_.size() + recalibration_cost_.size());
  ledger.add(nas::Phase::kBuild, {.calls = plans, .seconds = watch.lap()});
  make_selection(config, method);
}

void PathTask::open_data(Config& config, bool resident) {
  train_ = datasets::open_train(config.text("data.name"), config.text("data.root"));
  fill_augment(config);
  const datasets::Augment augment = training_augment(config, train_), plain = datasets::normalisation_of(train_);
  const auto used = first_indices(train_.size(), config.integer("data.train_images"), "data.train_images");
  const auto halves = datasets::darts_split(static_cast<int64_t>(used.size()), config.real("data.train_portion"));
  const int64_t batch = config.integer("search.batch"), valid = config.integer("select.valid_batch");
  using datasets::Order;
  const auto loader = [&](const std::vector<int64_t>& indices, int64_t size, const datasets::Augment& a,
                          Order order, uint64_t stream) {
    return std::make_unique<datasets::Loader>(train_, indices, size, a, order, datasets::mix(seed_, stream), 3,
                                              content(resident));
  };
  train_loader_ = loader(halves.weights, batch, augment, Order::kShuffle, kTrainOrder);
  recalibration_loader_ = loader(halves.weights, config.integer("select.recalibration_batch"), augment,
                                 Order::kShuffle, kRecalibrationOrder);
  valid_loader_ = loader(halves.alphas, valid ? valid : batch, plain, Order::kShuffle, kValidOrder);
  eval_loader_ = loader(halves.alphas, valid ? valid : batch, plain, Order::kSequential, 0);
}

void PathTask::make_selection(const Config& c, const PathMethod& method) {
  limits_ = std::make_unique<PathLimits>(c, train_);
  nas::Admits admits;
  if (limits_->any()) {
    limits_->check(space());
    admits = [this](const nas::Arch& arch) { return limits_->admits(arch); };
  }
  if (prunes(c, method)) {
    if (limits_->any()) throw UsageError("--select pruning keeps within no limits; take --select random");
    selection_ = nas::path_pruning(search_->space(), c.integer("select.batches"));
    return;
  }
  const auto number = [&](const char* key) { return static_cast<int>(c.integer(key)); };
  if (method.selection == PathMethod::Selection::kEvolution) {
    selection_ = nas::path_evolution(space(),
                                     {.population = number("select.population"),
                                      .generations = number("select.generations"),
                                      .top = number("select.top"),
                                      .crossovers = number("select.crossovers"),
                                      .mutants = number("select.mutants"),
                                      .mutation_rate = c.real("select.mutation_rate")},
                                     std::move(admits));
    return;
  }
  const int64_t steps = train_loader_->batches_per_epoch() * training_epochs_;
  const int given = number("select.repetitions");
  selection_ =
      nas::random_selection(space(),
                            {.repetitions = given ? given : static_cast<int>(std::max<int64_t>(1, steps / 10000)),
                             .samples = number("select.samples"),
                             .top = number("select.top"),
                             .batches = c.integer("select.batches")},
                            std::move(admits));
}

int64_t PathTask::steps_per_epoch() const {
  return training() ? train_loader_->batches_per_epoch() : static_cast<int64_t>(round_.archs.size());
}

void PathTask::begin_epoch(int epoch) {
  epoch_ = epoch;
  if (training()) return search_->begin_epoch(epoch);
  const int round = epoch - training_epochs_;
  if (planned_ == round) return;  // a resumed run is in the middle of it
  planned_ = round;
  scored_ = 0;
  if (round < selection_->rounds()) round_ = selection_->plan(round, history_, random_);
  else round_ = {table_->sample(), table_->batches(eval_loader_->batches_per_epoch())};
}

void PathTask::step(std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  if (training()) return train(scores, ledger);
  const nas::Arch& arch = round_.archs.at(scored_++);
  const bool ranking = planned_ == selection_->rounds();
  const nas::PathSample path =
      ranking ? one_path(search_->space(), arch) : selection_->network(search_->space(), arch);
  recalibrate(path, ledger);
  // The selection takes the next batches of a shuffled order, as the reference code does; what is to be compared,
  // the first ones.
  datasets::Loader& loader = round_.batches && !ranking ? *valid_loader_ : *eval_loader_;
  const int64_t batches = round_.batches ? round_.batches : loader.batches_per_epoch();
  if (ranking) loader.seek({0, 0});
  const nas::Score score = this->score(path, loader, batches, ledger);
  if (ranking) loader.seek({0, 0});
  scores[0] += score;
  (ranking ? ranking_ : history_).push_back({arch, planned_, 100 * score.accuracy()});
}

void PathTask::train(std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  const int64_t step = int64_t{epoch_} * train_loader_->batches_per_epoch() + train_loader_->cursor().batch;
  const datasets::Batch& batch = next(*train_loader_, ledger);
  queue_.add(search_->begin_step(view(batch), draw(step, batch.size)), 1, nas::Phase::kWeightStep,
             train_cost_.at(batch.size), scores, ledger);
}

std::vector<nas::PathSample> PathTask::draw(int64_t step, int64_t batch) {
  if (path_dropout_ < 0) return {one_path(search_->space(), space().sample(random_))};
  const double rate =
      nas::path_dropout_rate(path_dropout_, step, training_epochs_ * train_loader_->batches_per_epoch());
  std::vector<nas::PathSample> samples;
  while (samples.size() < search_->samples(batch)) samples.push_back(drop_paths(search_->space(), rate, random_));
  return samples;
}

void PathTask::recalibrate(const nas::PathSample& path, nas::Ledger& ledger) {
  nas::PathScorer& scorer = search_->scorer();
  if (scorer.statistics() != nas::Statistics::kRecalibrated) return;
  // The same batches for all: what differs is the architecture.
  recalibration_loader_->seek({0, 0});
  scorer.begin_recalibration();
  for (int64_t i = 0; i < recalibration_batches_; ++i) {
    const datasets::Batch& batch = next(*recalibration_loader_, ledger);
    const nas::Stopwatch watch;
    scorer.recalibrate(view(batch), path);
    book(ledger, nas::Phase::kEvaluation, recalibration_cost_.at(batch.size), watch.elapsed());
  }
  scorer.end_recalibration();
}

nas::Score PathTask::score(const nas::PathSample& path, datasets::Loader& loader, int64_t batches,
                           nas::Ledger& ledger) {
  nas::Score score;
  for (int64_t i = 0; i < batches; ++i) {
    const datasets::Batch& batch = next(loader, ledger);
    const nas::Stopwatch watch;
    score += search_->scorer().score(view(batch), path);
    book(ledger, nas::Phase::kEvaluation, score_cost_.at(batch.size), watch.elapsed());
  }
  return score;
}

std::optional<nas::Score> PathTask::evaluate(nas::Ledger& ledger, const GoOn& go_on) {
  nas::Random drawn(seed_, datasets::mix(kEvaluated, static_cast<uint64_t>(epoch_)));
  const nas::PathSample path = one_path(search_->space(), training() ? space().sample(drawn) : best());
  recalibrate(path, ledger);
  return evaluate_over(*eval_loader_, score_cost_, ledger, go_on,
                       [&](const nas::Batch& batch) { return search_->scorer().score(batch, path); });
}

void PathTask::end_epoch(int epoch, RunDirectory& directory) {
  if (training()) return;
  directory.genotypes().line(fmt::format("{}\t{}", epoch, space().format(best())));
  directory.log("genotype = " + space().format(best()));
}

void PathTask::write_files(RunDirectory& directory) const {
  std::string text = "round\taccuracy\tarchitecture\n";
  for (const nas::ScoredPath& s : history_) {
    const std::string words = selection_->format(s, history_);
    text += fmt::format("{}\t{:.4f}\t{}\n", s.round, s.accuracy, words.empty() ? space().format(s.arch) : words);
  }
  for (const nas::ScoredPath& s : ranking_)
    text += fmt::format("ranking\t{:.4f}\t{}\n", s.accuracy, space().format(s.arch));
  directory.write("scored.tsv", text);
}

std::vector<std::pair<std::string, datasets::Loader*>> PathTask::loaders() {
  return {{"train", train_loader_.get()}, {"valid", valid_loader_.get()}, {"eval", eval_loader_.get()}};
}

Json PathTask::state() const {
  return {{"random", random_.position()},
          {"planned", planned_},
          {"round", {{"archs", round_.archs}, {"batches", round_.batches}, {"scored", scored_}}},
          {"history", to_json(history_)},
          {"ranking", to_json(ranking_)},
          {"measured", limits_->save()}};
}

void PathTask::restore(const Json& state) {
  random_.seek(state.at("random"));
  planned_ = state.at("planned");
  const Json& round = state.at("round");
  round_ = {round.at("archs").get<std::vector<nas::Arch>>(), round.at("batches")};
  scored_ = round.at("scored");
  history_ = scored_from(state.at("history"));
  ranking_ = scored_from(state.at("ranking"));
  limits_->load(state.at("measured"));
}

autograd::Choices PathTask::choices() const {
  autograd::Choices all;
  for (const auto& [n, p] : search_->training_plans()) add_choices(all, p.plan);
  for (const auto& [n, p] : search_->scorer().scoring_plans()) add_choices(all, p.plan);
  for (const auto& [n, p] : search_->scorer().recalibration_plans()) add_choices(all, p.plan);
  return all;
}

Json PathTask::data() const {
  return {{"name", train_.name},
          {"train", describe_part(train_)},
          {"weights_half", train_loader_->size()},
          {"validation_half", eval_loader_->size()}};
}

std::string PathTask::describe() const {
  nas::Stores& stores = search_->stores();
  std::string text = fmt::format("supernet of {}: {} parameters; scored with {} statistics\n", space().name(),
                                 stores.weights.elements(), nas::statistics_name(search_->scorer().statistics()));
  text += fmt::format("data: {} of {}x{}x{}, {} classes; {} images train the weights, {} score architectures\n",
                      train_.name, train_.height, train_.width, train_.channels, train_.classes,
                      train_loader_->size(), eval_loader_->size());
  text += fmt::format("epochs: {} of {} steps, then {} rounds that score architectures\n", training_epochs_,
                      train_loader_->batches_per_epoch(), epochs() - training_epochs_);
  return text + describe_memory(stores, search_->arena_bytes(), train_.pixels.size(),
                                {{"weight_step", &search_->training_plans().rbegin()->second.plan},
                                 {"scoring", &search_->scorer().scoring_plans().rbegin()->second.plan}});
}

std::string PathTask::report(RunDirectory& directory, const Evaluations& evaluations, bool finished) {
  if (history_.empty()) return "not finished: the supernet is still being trained\n";
  const nas::Arch found = best();
  std::string text = fmt::format("architecture = {}\n{}\n", space().format(found), limits_->describe(found));
  if (finished)
    text += fmt::format("accuracy with shared weights {:.2f} % ({} images of {}, {} statistics)\n",
                        100 * evaluations.last.accuracy(), evaluations.last.images, train_.name,
                        nas::statistics_name(search_->scorer().statistics()));
  text += describe_skips(search_->space(), space().format(found));
  text += table_->report(found, ranking_);
  if (!finished) text += "not finished: the architecture is the best so far\n";
  directory.log(text);
  return text;
}

}  // namespace mixop::cli
