#include "nas/cli/task.h"

#include <fmt/format.h>

#include <algorithm>

#include "nas/cli/run_data.h"

namespace mixop::cli {

void Evaluations::add(int epoch, const nas::Score& score) {
  last_epoch = epoch;
  last = score;
  if (best_epoch >= 0 && score.accuracy() <= best.accuracy()) return;
  best_epoch = epoch;
  best = score;
}

void add_choices(autograd::Choices& all, const autograd::Plan& plan) {
  for (const autograd::Plan::StepInfo& step : plan.steps()) all[step.key] = step.impl;
}

void book(nas::Ledger& ledger, nas::Phase phase, nas::Cost cost, double seconds) {
  cost.seconds = seconds;
  ledger.add(phase, cost);
}

void ScoreQueue::add(const nas::PendingScore& score, size_t index, nas::Phase phase, const nas::Cost& cost,
                     std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  if (waiting_.empty()) {
    since_first_.lap();
    data_before_ = ledger.at(nas::Phase::kData).seconds;
  }
  ledger.add(phase, cost);
  waiting_.push_back({score, index, phase});
  if (score.plan->device() == kernels::Device::kCpu || waiting_.size() >= kMost) settle(scores, ledger);
}

void ScoreQueue::settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  if (waiting_.empty()) return;
  double busy = 0;
  for (const Waiting& w : waiting_) {
    scores[w.index] += w.score.get();
    const double seconds = w.score.seconds();
    ledger.add(w.phase, {.seconds = seconds});
    busy += seconds;
  }
  // What the host waited for data while the device worked is booked as work, not twice.
  const double waited = ledger.at(nas::Phase::kData).seconds - data_before_;
  const double twice = std::clamp(busy + waited - since_first_.lap(), 0.0, waited);
  if (waiting_.front().score.plan->device() != kernels::Device::kCpu)
    ledger.add(nas::Phase::kData, {.seconds = -twice});
  waiting_.clear();
}

std::optional<nas::Score> evaluate_over(datasets::Loader& loader, const std::map<int64_t, nas::Cost>& costs,
                                        nas::Ledger& ledger, const Task::GoOn& go_on,
                                        const std::function<nas::Score(const nas::Batch&)>& evaluate) {
  const datasets::Cursor start = loader.cursor();
  nas::Score score;
  for (int64_t i = 0; i < loader.batches_per_epoch(); ++i) {
    const datasets::Batch& batch = next(loader, ledger);
    nas::Stopwatch watch;
    score += evaluate(view(batch));
    book(ledger, nas::Phase::kEvaluation, costs.at(batch.size), watch.lap());
    if (!go_on(score, i + 1)) {
      loader.seek(start);
      return std::nullopt;
    }
  }
  return score;
}

std::string describe_memory(nas::Stores& stores, size_t arena, size_t data,
                            const std::vector<std::pair<std::string, const autograd::Plan*>>& plans) {
  constexpr double kMb = 1e-6;
  size_t tensors = 0;
  for (autograd::TensorStore* store : stores.all())
    tensors += static_cast<size_t>(store->elements()) * kernels::size_of(store->dtype());
  size_t inputs = 0;
  std::string text;
  for (const auto& [name, plan] : plans) {
    const autograd::MemoryReport& m = plan->memory();
    inputs += m.input;
    text += fmt::format("  {:12} {:9.1f} MB arena, {:9.1f} MB workspace, {:7.1f} MB input\n", name,
                        static_cast<double>(m.arena) * kMb, static_cast<double>(m.workspace) * kMb,
                        static_cast<double>(m.input) * kMb);
  }
  const size_t total = tensors + arena + inputs + data;
  return fmt::format(
             "memory: {:.1f} MB = {:.1f} tensors (weights, alphas, statistics, optimiser) + {:.1f} arena of all "
             "plans "
             "+ {:.1f} inputs + {:.1f} data\n",
             static_cast<double>(total) * kMb, static_cast<double>(tensors) * kMb, static_cast<double>(arena) * kMb,
             static_cast<double>(inputs) * kMb, static_cast<double>(data) * kMb) +
         text;
}

}  // namespace mixop::cli
