// How good is a candidate: a table, training from scratch, a predictor.
#pragma once

#include <deque>

#include "nas/search/strategy.h"

namespace mixop::nas {

class Evaluator {
 public:
  virtual ~Evaluator() = default;

  /// How many candidates may be under way at a time.
  virtual int slots() const { return 1; }
  /// Begins to evaluate; at most slots() are under way.
  virtual void start(const Candidate& candidate) = 0;
  /// Waits for the oldest candidate under way. A candidate that cannot be evaluated is a failed Outcome; an Error
  /// is thrown only when no candidate ever could be (the data is gone).
  virtual Outcome finish() = 0;
  /// finish() would not wait.
  virtual bool ready() { return true; }
};

/// Evaluators that answer at once.
class ImmediateEvaluator : public Evaluator {
 public:
  void start(const Candidate& candidate) override { outcomes_.push_back(evaluate(candidate)); }
  Outcome finish() override {
    Outcome first = std::move(outcomes_.front());
    outcomes_.pop_front();
    return first;
  }

 protected:
  virtual Outcome evaluate(const Candidate& candidate) = 0;

 private:
  std::deque<Outcome> outcomes_;
};

}  // namespace mixop::nas
