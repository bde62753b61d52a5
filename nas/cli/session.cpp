#include "nas/cli/session.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <utility>

#include "autograd/checkpoint.h"
#include "kernels/core/check.h"
#include "nas/cli/signals.h"

namespace mixop::cli {
namespace {

Json to_json(const nas::Score& s) { return {s.loss, s.correct, s.images}; }
nas::Score score_from(const Json& j) { return {j.at(0), j.at(1), j.at(2)}; }

}  // namespace

CheckpointInterval CheckpointInterval::parse(const std::string& text) {
  int64_t n = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, n);
  const std::string_view unit(end, static_cast<size_t>(last - end));
  if (error != std::errc() || n < 1 || (!unit.empty() && unit != "ep"))
    throw UsageError("run.ckpt_every: '" + text + "' is neither steps (100) nor epochs (1ep), at least 1");
  return unit.empty() ? CheckpointInterval{.steps = n} : CheckpointInterval{.epochs = n};
}

Session::Session(const Config& config, RunDirectory& directory, Progress& progress, Task& task, nas::Ledger& ledger,
                 const nas::Stopwatch& clock)
    : config_(config),
      directory_(directory),
      progress_(progress),
      task_(task),
      ledger_(ledger),
      clock_(clock),
      checkpoints_(directory.path() / "ckpt", config.integer("run.keep")),
      phases_(task.step_phases()),
      scores_(phases_.size()),
      every_(CheckpointInterval::parse(config.text("run.ckpt_every"))) {}

bool Session::restore() {
  checkpoints_.prepare();
  const auto found = checkpoints_.newest([&](const std::string& text) { progress_.warn(text); });
  if (!found) {
    directory_.cut(Json::object());
    return false;
  }
  const auto place = [&](const char* name) { return (found->path / name).string(); };
  try {
    const Json s = Json::parse(found->file("state.json"));
    task_.restore(s.at("task"));  // first, as it may decide which tensors there are
    nas::Stores& stores = task_.stores();
    autograd::from_safetensors(found->file("weights.safetensors"), place("weights.safetensors"),
                               {&stores.weights, &stores.state});
    autograd::from_safetensors(found->file("optim.safetensors"), place("optim.safetensors"),
                               {&stores.alphas, &stores.optimizer});
    at_ = {s.at("epoch"), s.at("step"), s.at("total_steps")};
    for (size_t i = 0; i < scores_.size(); ++i) scores_[i] = score_from(s.at("scores").at(i));
    const Json& e = s.at("evaluations");
    evaluations_ = {e.at("last_epoch"), e.at("best_epoch"), score_from(e.at("last")), score_from(e.at("best"))};
    for (const auto& [name, loader] : task_.loaders())
      loader->seek({s.at("loaders").at(name).at(0), s.at("loaders").at(name).at(1)});
    // Counts are those of the run so far; setting up again has cost seconds, but no other work.
    const nas::Ledger set_up = ledger_;
    ledger_ = nas::Ledger::from_json(s.at("ledger").dump(), place("state.json"));
    for (const nas::Phase p : {nas::Phase::kBuild, nas::Phase::kData})
      ledger_.add(p, {.seconds = set_up.at(p).seconds});
    wall_before_ = ledger_.wall_seconds;
    directory_.cut(s.at("files"));
  } catch (const Json::exception& e) {
    kernels::fail(place("state.json"), ": not the state of this kind of run: ", e.what());
  }
  last_written_ = at_.total;
  progress_.say(fmt::format("going on after step {} from {}", at_.total, found->path.string()));
  return true;
}

Session::Outcome Session::run() {
  const Outcome outcome = loop();
  if (outcome != Outcome::kDone && last_written_ != at_.total) checkpoint(false);
  ledger_.wall_seconds = wall_seconds();
  directory_.write("cost.json", ledger_.to_json());
  task_.write_files(directory_);
  return outcome;
}

Session::Outcome Session::loop() {
  const int64_t max_steps = config_.integer("run.max_steps");
  timed_.lap();
  while (at_.epoch < task_.epochs()) {
    task_.begin_epoch(at_.epoch);
    if (at_.step == 0) directory_.log(fmt::format("epoch {} lr {:e}", at_.epoch, task_.learning_rate()));
    while (at_.step < task_.steps_per_epoch()) {
      if (stop_requested()) return Outcome::kInterrupted;
      if (max_steps && at_.total >= max_steps) return Outcome::kStopped;
      one_step();
      // A checkpoint that falls on the end of an epoch waits until the epoch is complete.
      const bool last = at_.step == task_.steps_per_epoch();
      if (every_.steps && at_.total % every_.steps == 0 && !last) checkpoint(true);
    }
    if (!finish_epoch()) return Outcome::kInterrupted;
  }
  return Outcome::kDone;
}

void Session::one_step() {
  const int64_t images = scores_.back().images;
  task_.step(scores_, ledger_);
  ++at_.step;
  ++at_.total;
  take_scores(images);
  show(latest(), at_.step, task_.steps_per_epoch(), false);
  const int64_t log_every = config_.integer("run.log_every");
  if (log_every && at_.total % log_every == 0) {
    settle();
    log_scores("step", images_per_second());
    const nas::Score& s = latest();
    directory_.log(fmt::format("train {:03} {:e} {:f}", at_.step, s.mean_loss(), 100 * s.accuracy()));
  }
}

void Session::settle() {
  const int64_t images = scores_.back().images;
  task_.settle(scores_, ledger_);
  take_scores(images);
}

void Session::take_scores(int64_t images_before) {
  images_timed_ += scores_.back().images - images_before;
  for (size_t i = 0; i < scores_.size(); ++i) check_finite(scores_[i], phases_[i]);
}

void Session::check_finite(const nas::Score& score, const std::string& phase) const {
  if (std::isfinite(score.loss)) return;
  const std::string kept = last_written_ >= 0 ? fmt::format("the checkpoint after step {} is kept", last_written_)
                                              : std::string("there is no checkpoint yet");
  kernels::fail("the loss of ", phase, " is not finite in epoch ", at_.epoch + 1, ", step ", at_.step,
                "; lower the learning rates; ", kept);
}

bool Session::finish_epoch() {
  settle();
  const double rate = images_per_second();
  double evaluation_rate = 0;
  const bool due = evaluation_due(at_.epoch);
  if (due) {
    const nas::Ledger before = ledger_;
    const auto score = task_.evaluate(ledger_, [&](const nas::Score& so_far, int64_t batches) {
      show(so_far, batches, task_.evaluation_batches(), true);
      return !stop_requested();
    });
    if (!score) {
      ledger_.rewind_counts(before);
      return false;
    }
    check_finite(*score, task_.evaluation_phase());
    evaluations_.add(at_.epoch, *score);
    evaluation_rate = static_cast<double>(score->images) / timed_.lap();
  }

  // Only now, in one go: a run that is interrupted during the evaluation does all of this when it goes on.
  log_scores("epoch", rate);
  directory_.log(fmt::format("train_acc {:f}", 100 * latest().accuracy()));
  if (due) {
    add_metrics("epoch", task_.evaluation_phase(), evaluations_.last, evaluation_rate);
    directory_.log(fmt::format("{}_acc {:f}", task_.evaluation_phase(), 100 * evaluations_.last.accuracy()));
  }
  task_.end_epoch(at_.epoch, directory_);
  ++at_.epoch;
  at_.step = 0;
  scores_.assign(scores_.size(), {});
  const bool scheduled = every_.epochs ? at_.epoch % every_.epochs == 0 : at_.total % every_.steps == 0;
  if (scheduled || at_.epoch == task_.epochs()) checkpoint(true);
  return true;
}

void Session::checkpoint(bool scheduled) {
  settle();
  nas::Stopwatch watch;
  // One that a signal asks for is not counted: a run that was interrupted has the counts of one that was not.
  if (scheduled) ledger_.add(nas::Phase::kCheckpoint, {.calls = 1});
  ledger_.wall_seconds = wall_seconds();
  directory_.sync();
  nas::Stores& stores = task_.stores();
  checkpoints_.write(at_.total,
                     {{"weights.safetensors", autograd::to_safetensors({&stores.weights, &stores.state})},
                      {"optim.safetensors", autograd::to_safetensors({&stores.alphas, &stores.optimizer})},
                      {"state.json", state().dump() + "\n"}});
  task_.write_files(directory_);
  directory_.write("cost.json", ledger_.to_json());
  last_written_ = at_.total;
  ledger_.add(nas::Phase::kCheckpoint, {.seconds = watch.lap()});
}

Json Session::state() {
  Json loaders = Json::object(), scores = Json::array();
  for (const auto& [name, loader] : task_.loaders())
    loaders[name] = {loader->cursor().epoch, loader->cursor().batch};
  for (const nas::Score& s : scores_) scores.push_back(to_json(s));
  return {{"epoch", at_.epoch},
          {"step", at_.step},
          {"total_steps", at_.total},
          {"scores", scores},
          {"evaluations",
           {{"last_epoch", evaluations_.last_epoch},
            {"best_epoch", evaluations_.best_epoch},
            {"last", to_json(evaluations_.last)},
            {"best", to_json(evaluations_.best)}}},
          {"loaders", loaders},
          {"files", directory_.offsets()},
          {"ledger", Json::parse(ledger_.to_json())},
          {"task", task_.state()}};
}

bool Session::evaluation_due(int epoch) const {
  const int64_t every = config_.integer("run.eval_every");
  return epoch + 1 == task_.epochs() || (every && (epoch + 1) % every == 0);
}

const nas::Score& Session::latest() const {
  for (auto score = scores_.rbegin(); score != scores_.rend(); ++score)
    if (score->images) return *score;
  return scores_.back();
}

double Session::images_per_second() {
  return static_cast<double>(std::exchange(images_timed_, 0)) / std::max(1e-9, timed_.lap());
}

void Session::log_scores(const char* kind, double rate) {
  for (size_t i = 0; i < scores_.size(); ++i)
    if (scores_[i].images) add_metrics(kind, phases_[i], scores_[i], rate);  // not every epoch has every phase
}

void Session::add_metrics(const char* kind, const std::string& phase, const nas::Score& score, double rate) {
  directory_.metrics().line(Json{
      {"kind", kind},
      {"step", at_.total},
      {"epoch", at_.epoch},
      {"phase", phase},
      {"images", score.images},
      {"loss", score.mean_loss()},
      {"top1", 100 * score.accuracy()},
      {"lr", task_.learning_rate()},
      {"wall_s", wall_seconds()},
      {"images_per_s", rate}}.dump());
}

void Session::show(const nas::Score& score, int64_t done, int64_t all, bool evaluating) {
  const double seconds = std::max(1e-9, timed_.elapsed());
  const int64_t images = evaluating ? score.images : images_timed_;
  progress_.show({.epoch = at_.epoch,
                  .epochs = task_.epochs(),
                  .step = done,
                  .steps = all,
                  .loss = score.mean_loss(),
                  .accuracy = score.accuracy(),
                  .images_per_second = static_cast<double>(images) / seconds,
                  .seconds_left = seconds_left(),
                  .evaluating = evaluating});
}

double Session::seconds_left() const {
  using nas::Phase;
  const double worked = ledger_.at(Phase::kArchStep).seconds + ledger_.at(Phase::kWeightStep).seconds;
  const double per_step = worked / static_cast<double>(std::max<int64_t>(1, at_.total));
  // Before the first evaluation: a forward pass takes about a third of a step.
  const nas::Cost& evaluation = ledger_.at(Phase::kEvaluation);
  const double per_batch =
      evaluation.calls ? evaluation.seconds / static_cast<double>(evaluation.calls) : per_step / 3;
  const int64_t steps = std::max<int64_t>(0, task_.steps_per_epoch() * task_.epochs() - at_.total);
  int64_t evaluations = 0;
  for (int e = at_.epoch; e < task_.epochs(); ++e) evaluations += evaluation_due(e);
  return per_step * static_cast<double>(steps) +
         per_batch * static_cast<double>(evaluations * task_.evaluation_batches());
}

}  // namespace mixop::cli
