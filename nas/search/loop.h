// The loop of every black-box search: ask, evaluate, tell, until the budget is spent.
#pragma once

#include <deque>
#include <functional>

#include "nas/search/evaluator.h"

namespace mixop::nas {

/// What ends a search, whichever comes first; 0: no bound.
struct Budget {
  double seconds = 0;  ///< sum of the candidates' costs
  int64_t evaluations = 0;
  double accuracy = 0;  ///< per cent: stop when the best has it
  /// An evaluation that would pass `seconds` is not made (NAS-Bench-201's protocol); otherwise it is the last
  /// (NATS).
  bool strict = true;
};

struct Evaluated {
  Candidate candidate;
  Outcome outcome;
};

class SearchLoop {
 public:
  using Observer = std::function<void(const Evaluated& evaluated, const SearchLoop& loop)>;

  /// All are kept by reference. `observe` sees every outcome right after the strategy was told.
  SearchLoop(Strategy& strategy, Evaluator& evaluator, const Budget& budget, Observer observe = {});

  /// Asks for as many candidates as the evaluator takes, waits for the oldest and tells it. False: the search is
  /// over.
  bool step();
  void run() {
    while (step()) {
    }
  }

  /// Most accurate of those evaluated for most epochs, the earliest of equals; id -1 before the first success.
  const Evaluated& best() const { return best_; }
  double seconds() const { return seconds_; }           ///< costs of all that were told
  int64_t evaluations() const { return evaluations_; }  ///< told
  int64_t failures() const { return failures_; }
  /// Starts what the evaluator takes now; true: step() would not wait.
  bool ready();

  /// Strategy, counters, best and the candidates under way, which are started again by step() after a load(). The
  /// budget and the evaluator's slots may be others then. load() is for a loop that has not stepped; throws
  /// mixop::Error when it has.
  Json save() const;
  void load(const Json& state);

 private:
  bool spent() const;
  void start_more();

  Strategy& strategy_;
  Evaluator& evaluator_;
  Budget budget_;
  Observer observe_;
  std::deque<Candidate> under_way_;  // asked, not told; the first started_ of them are with the evaluator
  size_t started_ = 0;
  Evaluated best_;
  double seconds_ = 0;
  int64_t evaluations_ = 0, failures_ = 0;
  double refused_ = 0;  // cost of the evaluation, the oldest under way, that would pass the budget
};

}  // namespace mixop::nas
