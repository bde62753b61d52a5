#include "nas/search/loop.h"

#include <utility>

#include "kernels/core/check.h"

namespace mixop::nas {

SearchLoop::SearchLoop(Strategy& strategy, Evaluator& evaluator, const Budget& budget, Observer observe)
    : strategy_(strategy), evaluator_(evaluator), budget_(budget), observe_(std::move(observe)) {}

bool SearchLoop::spent() const {
  if (budget_.evaluations > 0 && evaluations_ >= budget_.evaluations) return true;
  if (budget_.seconds > 0 && seconds_ >= budget_.seconds) return true;
  if (budget_.seconds > 0 && budget_.strict && seconds_ + refused_ > budget_.seconds) return true;
  return budget_.accuracy > 0 && best_.candidate.id >= 0 && best_.outcome.accuracy >= budget_.accuracy;
}

void SearchLoop::start_more() {
  if (spent()) return;
  while (started_ < static_cast<size_t>(evaluator_.slots())) {
    if (started_ == under_way_.size()) {
      const auto asked = evaluations_ + static_cast<int64_t>(under_way_.size());
      if (budget_.evaluations > 0 && asked >= budget_.evaluations) break;
      std::optional<Candidate> candidate = strategy_.ask();
      if (!candidate) break;
      under_way_.push_back(std::move(*candidate));
    }
    evaluator_.start(under_way_[started_++]);
  }
}

bool SearchLoop::ready() {
  start_more();
  return spent() || under_way_.empty() || evaluator_.ready();
}

bool SearchLoop::step() {
  if (spent()) return false;
  start_more();
  if (under_way_.empty()) {
    MIXOP_CHECK(strategy_.finished(), "the strategy asks for nothing, waits for nothing and is not finished");
    return false;
  }
  Evaluated evaluated{{}, evaluator_.finish()};
  --started_;
  refused_ = evaluated.outcome.cost;
  if (spent()) return false;  // it stays under way: a search resumed with more seconds makes it
  refused_ = 0;
  evaluated.candidate = std::move(under_way_.front());
  under_way_.pop_front();
  seconds_ += evaluated.outcome.cost;
  ++evaluations_;
  failures_ += evaluated.outcome.failed;
  const auto rank = [](const Evaluated& e) { return std::pair(e.candidate.epochs, e.outcome.accuracy); };
  if (!evaluated.outcome.failed && (best_.candidate.id < 0 || rank(evaluated) > rank(best_))) best_ = evaluated;
  strategy_.tell(evaluated.candidate, evaluated.outcome);
  if (observe_) observe_(evaluated, *this);
  return true;
}

Json SearchLoop::save() const {
  Json state = {{"strategy", strategy_.save()}, {"seconds", seconds_}, {"evaluations", evaluations_},
                {"failures", failures_},        {"refused", refused_}, {"under_way", Json::array()}};
  for (const Candidate& c : under_way_) state["under_way"].push_back(to_json(c));
  if (best_.candidate.id >= 0) state["best"] = {to_json(best_.candidate), to_json(best_.outcome)};
  return state;
}

void SearchLoop::load(const Json& state) {
  MIXOP_CHECK(evaluations_ == 0 && under_way_.empty(), "a search cannot be loaded into one that is under way");
  strategy_.load(state.at("strategy"));
  seconds_ = state.at("seconds");
  evaluations_ = state.at("evaluations");
  failures_ = state.at("failures");
  refused_ = state.at("refused");
  best_ = {};
  if (state.contains("best"))
    best_ = {candidate_from_json(state["best"].at(0)), outcome_from_json(state["best"].at(1))};
  for (const Json& c : state.at("under_way")) under_way_.push_back(candidate_from_json(c));
}

}  // namespace mixop::nas
