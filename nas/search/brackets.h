// Successive halving: many candidates are trained for a little, the best of them for longer, and so on. The
// arithmetic of the brackets, and the strategy that runs brackets in turn.
#pragma once

#include <vector>

#include "nas/search/strategy.h"

namespace mixop::nas {

/// So many candidates are trained for so many epochs (as a whole, from scratch).
struct Rung {
  int64_t candidates;
  double epochs;
  bool operator==(const Rung&) const = default;
};
/// Rungs from the shortest training to the longest.
using Bracket = std::vector<Rung>;

/// The trainings between `least` and `most` epochs: most / eta^k, ascending, as many as are >= least. With
/// most = 0 there is one, 0 epochs: as long as the evaluator is set up to. Throws mixop::Error when least > most.
std::vector<double> fidelities(double least, double most, int64_t eta);

/// `candidates` at the first of the epochs; of each rung the best 1/eta go on, at least one.
Bracket successive_halving(int64_t candidates, std::span<const double> epochs, int64_t eta);

/// One round of Hyperband (Li et al. 2018), the bracket with most candidates first: s from s_max down to 0 with
/// s_max + 1 fidelities, ceil((s_max + 1) eta^s / (s + 1)) candidates at first.
std::vector<Bracket> hyperband(std::span<const double> epochs, int64_t eta);
/// The same with the numbers of HpBandSter, BOHB's own code: ceil(floor((s_max + 1) / (s + 1)) eta^s) at first.
std::vector<Bracket> hpbandster(std::span<const double> epochs, int64_t eta);

/// Settings that the strategies of this kind share: min-epochs, max-epochs, eta.
std::vector<Setting> fidelity_settings();
std::vector<double> fidelities(const Settings& settings);

/// Runs brackets in turn, again and again. A rung waits for all of its outcomes; every candidate is trained from
/// scratch.
class BracketSearch : public Strategy {
 public:
  /// Ends after `limit` brackets; 0: never.
  BracketSearch(const Space& space, std::vector<Bracket> brackets, int64_t limit, uint64_t seed);
  bool finished() const override { return limit_ > 0 && bracket_ >= limit_; }

 protected:
  std::optional<Candidate> propose() override;
  void learn(const Candidate& candidate, const Outcome& outcome) override;
  void save_to(Json& state) const override;
  void load_from(const Json& state) override;

  /// A candidate for the first rung: a uniform draw unless the strategy knows better.
  virtual Arch draw() { return space_.sample(random_); }

  const Space& space_;
  Random random_;

 private:
  struct Member {
    Arch arch;
    double accuracy;
  };

  const Bracket& bracket() const { return brackets_[static_cast<size_t>(bracket_) % brackets_.size()]; }

  const std::vector<Bracket> brackets_;
  const int64_t limit_;
  int64_t bracket_ = 0;          // counted over all rounds
  size_t rung_ = 0;              // of this bracket
  std::vector<Member> members_;  // of this rung
  size_t asked_ = 0, told_ = 0;  // of those
};

}  // namespace mixop::nas
