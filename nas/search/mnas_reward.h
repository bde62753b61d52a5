// Accuracy and latency in one number (Tan et al. 2019, MnasNet), so that any strategy can search for both.
#pragma once

#include "nas/search/evaluator.h"

namespace mixop::nas {

/// What a latency costs in accuracy.
struct MnasTarget {
  double latency = 75;   ///< T, in the unit of the objective, > 0
  double below = -0.07;  ///< exponent for latencies up to T (alpha); soft -0.07, hard 0
  double above = -0.07;  ///< beyond (beta); soft -0.07, hard -1
  size_t objective = 1;  ///< which of Outcome::objectives is the latency
};

/// accuracy (latency / T)^w, w = below up to T and above beyond. `latency` > 0.
double mnas_reward(double accuracy, double latency, const MnasTarget& target);

/// Evaluates by another evaluator and puts the reward in place of the accuracy; the objectives stay. An outcome
/// whose latency is not above 0 (no measurement) counts as failed.
class MnasReward final : public Evaluator {
 public:
  /// `evaluator` must outlive this. Throws mixop::Error for a target latency that is not above 0.
  MnasReward(Evaluator& evaluator, const MnasTarget& target);

  int slots() const override { return evaluator_.slots(); }
  void start(const Candidate& candidate) override { evaluator_.start(candidate); }
  /// Throws mixop::Error when the outcome has no such objective.
  Outcome finish() override;
  bool ready() override { return evaluator_.ready(); }

 private:
  Evaluator& evaluator_;
  MnasTarget target_;
};

}  // namespace mixop::nas
