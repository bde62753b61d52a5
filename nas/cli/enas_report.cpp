// What an ENAS search says before it begins and at its end.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nas/cli/enas_task.h"

namespace mixop::cli {
namespace {

constexpr uint64_t kResultStream = 2, kRandomStream = 3;  // of random numbers

/// Mean and standard error, in per cent.
struct Mean {
  double value = 0, error = 0;
};
Mean mean_of(const std::vector<double>& x) {
  const auto n = static_cast<double>(x.size());
  Mean m;
  for (const double v : x) m.value += 100 * v / n;
  double squares = 0;
  for (const double v : x) squares += (100 * v - m.value) * (100 * v - m.value);
  if (x.size() > 1) m.error = std::sqrt(squares / (n - 1) / n);
  return m;
}

}  // namespace

std::string EnasTask::describe() const {
  const nas::EnasControllerOptions& c = options_.controller;
  nas::EnasSearch& search = *search_;
  std::string text = fmt::format("child: {}, {} shared parameters; controller: {} parameters\n", space_->describe(),
                                 parameters(), search.controller().parameters().elements());
  text += fmt::format("data: {} of {}x{}x{}, {} classes; {} images train the weights, {} give rewards\n",
                      train_.name, train_.height, train_.width, train_.channels, train_.classes,
                      train_loader_->size(), valid_loader_->size());
  text +=
      fmt::format("steps: {} an epoch ({} of the weights, {} samples in {} updates of the controller), {} in all\n",
                  steps_per_epoch(), train_loader_->batches_per_epoch(), options_.updates * c.aggregate,
                  options_.updates, steps_per_epoch() * epochs());
  return text + describe_memory(search.stores(), search.arena_bytes(), train_.pixels.size(),
                                {{"weight_step", &search.weight_plan(weight_cost_.rbegin()->first)},
                                 {"score", &search.score_plan(score_cost_.rbegin()->first)}});
}

// Batch `number` of the validation images, counted round and round.
nas::Score EnasTask::on_one_batch(const nas::Arch& arch, int64_t number) {
  eval_loader_->seek({0, number % eval_loader_->batches_per_epoch()});
  return search_->score(arch, view(eval_loader_->next()));
}

// The supernet scores the table's sample as rewards are measured.
std::string EnasTask::score_by_table(const nas::Arch& found) {
  std::vector<nas::ScoredPath> scored;
  for (const nas::Arch& arch : table_->sample()) {
    nas::Score score;
    eval_loader_->seek({0, 0});
    for (int64_t i = 0; i < table_->batches(eval_loader_->batches_per_epoch()); ++i)
      score += search_->score(arch, view(eval_loader_->next()));
    scored.push_back({arch, 0, 100 * score.accuracy()});
  }
  return table_->report(found, scored);
}

std::string EnasTask::choose_best(RunDirectory& directory) {
  nas::Random random(options_.seed, kResultStream), uniform(options_.seed, kRandomStream);
  std::vector<Candidate> drawn;
  std::vector<double> drawn_accuracy, random_accuracy;
  for (int64_t i = 0; i < candidates_; ++i) {
    const nas::Arch arch = search_->sample(random).arch;
    drawn.push_back({arch, on_one_batch(arch, i), {}});
    drawn_accuracy.push_back(drawn.back().quick.accuracy());
    random_accuracy.push_back(on_one_batch(space_->sample(uniform), i).accuracy());
  }
  std::stable_sort(drawn.begin(), drawn.end(),
                   [](const Candidate& a, const Candidate& b) { return a.quick.accuracy() > b.quick.accuracy(); });
  drawn.resize(std::min(drawn.size(), static_cast<size_t>(finalists_)));
  for (Candidate& c : drawn) {
    eval_loader_->seek({0, 0});
    for (int64_t i = 0; i < eval_loader_->batches_per_epoch(); ++i)
      c.full += search_->score(c.arch, view(eval_loader_->next()));
  }
  const Candidate& best = *std::max_element(drawn.begin(), drawn.end(), [](const Candidate& a, const Candidate& b) {
    return a.full.accuracy() < b.full.accuracy();
  });

  std::string table = "accuracy\tone_batch\tarch\n";
  for (const Candidate& c : drawn)
    table += fmt::format("{:.6f}\t{:.6f}\t{}\n", c.full.accuracy(), c.quick.accuracy(), space_->format(c.arch));
  directory.write("finalists.tsv", table);
  directory.write("arch.txt", space_->format(best.arch) + "\n");
  directory.write("arch.dot", space_->draw_dot(best.arch));
  std::string text = fmt::format("arch = {}\n", space_->format(best.arch));
  text += fmt::format("accuracy with shared weights {:.2f} % ({} validation images; best of {} of {} drawn)\n",
                      100 * best.full.accuracy(), best.full.images, drawn.size(), candidates_);
  const Mean ours = mean_of(drawn_accuracy), others = mean_of(random_accuracy);
  text += fmt::format(
      "on one batch each: {:.2f} +- {:.2f} % of {} architectures drawn from the controller, {:.2f} +- {:.2f} % of "
      "as "
      "many random ones\n",
      ours.value, ours.error, candidates_, others.value, others.error);
  if (ours.value + ours.error < others.value - others.error)
    text += "warning: the controller's architectures are worse than random ones\n";
  if (mixed_) text += nas::describe_candidates(*mixed_, best.arch) + score_by_table(best.arch);
  return text;
}

std::string EnasTask::report(RunDirectory& directory, const Evaluations& evaluations, bool finished) {
  std::string text;
  if (finished) text += choose_best(directory);
  if (evaluations.last_epoch >= 0)
    text += fmt::format("architectures drawn after epoch {}: accuracy {:.2f} % over {} validation images\n",
                        evaluations.last_epoch + 1, 100 * evaluations.last.accuracy(), evaluations.last.images);
  if (last_samples_.count) {
    const auto mean = [](double sum, const Samples& s) { return sum / static_cast<double>(s.count); };
    text += fmt::format(
        "rewards: accuracy {:.2f} % in the first epoch, {:.2f} % in the last; entropy of the "
        "controller {:.2f} and {:.2f}\n",
        100 * mean(first_samples_.accuracy, first_samples_), 100 * mean(last_samples_.accuracy, last_samples_),
        mean(first_samples_.entropy, first_samples_), mean(last_samples_.entropy, last_samples_));
  }
  if (!finished) text += "not finished: no architecture was chosen yet\n";
  return text;
}

}  // namespace mixop::cli
