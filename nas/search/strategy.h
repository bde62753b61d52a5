// What to try next: black-box strategies ask for candidates to be evaluated and are told how good they were.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nas/json.h"
#include "nas/search/settings.h"
#include "nas/space/space.h"

namespace mixop::nas {

struct Candidate {
  int64_t id = -1;  ///< 0, 1, ... in the order asked
  Arch arch;
  double epochs = 0;    ///< how long to train it; 0: as long as the evaluator is set up to
  int64_t parent = -1;  ///< the candidate whose trained weights are the start; -1: from scratch
};

struct Outcome {
  double accuracy = 0;  ///< validation accuracy in per cent: what is maximised. 0 when it failed.
  double cost = 0;      ///< seconds, recorded or measured; failures cost too
  /// Of searches with several aims, each to be minimised (the error in per cent first); empty otherwise, and when
  /// it failed.
  std::vector<double> objectives{};
  bool failed = false;
  std::string reason{};  ///< why it failed
};

Json to_json(const Candidate& candidate);
Json to_json(const Outcome& outcome);
Candidate candidate_from_json(const Json& json);
Outcome outcome_from_json(const Json& json);

/// ask() may be called several times before tell(); candidates are told in the order in which they were asked, so
/// that parallel evaluation does not change a search. All randomness comes from the seed given at construction.
class Strategy {
 public:
  virtual ~Strategy() = default;

  /// The next candidate, or nothing: either outcomes must come first, or the search is over (finished()).
  std::optional<Candidate> ask();
  void tell(const Candidate& candidate, const Outcome& outcome);
  /// Nothing will be asked any more.
  virtual bool finished() const { return false; }
  int64_t asked() const { return asked_; }
  /// Which of the candidates told may still be named as Candidate::parent: their weights are kept. Nothing: no
  /// candidate ever has a parent.
  virtual std::optional<std::vector<int64_t>> parents() const { return {}; }

  /// Everything that later asks depend on; load() of it into a new object with the same space, settings and seed
  /// goes on with the same candidates. The candidates asked and not yet told are the caller's to keep.
  Json save() const;
  void load(const Json& state);

 protected:
  /// As ask() and tell(); the candidate's id is filled in by ask() and will be asked().
  virtual std::optional<Candidate> propose() = 0;
  virtual void learn(const Candidate& candidate, const Outcome& outcome) = 0;
  virtual void save_to(Json& state) const = 0;
  virtual void load_from(const Json& state) = 0;

 private:
  int64_t asked_ = 0;
};

/// A strategy as the command line knows it.
struct StrategyInfo {
  std::string name, help;  ///< "regularized-evolution"; one line with the paper
  std::vector<Setting> settings;
  /// Throws mixop::Error when the strategy does not fit the space (a controller over a space that is not built step
  /// by step). The space must outlive the strategy.
  std::unique_ptr<Strategy> (*make)(const Space& space, const Settings& settings, uint64_t seed);
};

/// All strategies, in the order of the help.
const std::vector<const StrategyInfo*>& strategies();
/// The strategy of that name; throws mixop::Error listing the known ones.
const StrategyInfo& find_strategy(const std::string& name);

}  // namespace mixop::nas
