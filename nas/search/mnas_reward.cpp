#include "nas/search/mnas_reward.h"

#include <cmath>

#include "kernels/core/check.h"

namespace mixop::nas {

double mnas_reward(double accuracy, double latency, const MnasTarget& target) {
  return accuracy * std::pow(latency / target.latency, latency <= target.latency ? target.below : target.above);
}

MnasReward::MnasReward(Evaluator& evaluator, const MnasTarget& target) : evaluator_(evaluator), target_(target) {
  MIXOP_CHECK(target.latency > 0, "MnasNet reward: the target latency must be above 0, it is ", target.latency);
}

Outcome MnasReward::finish() {
  Outcome outcome = evaluator_.finish();
  if (outcome.failed) return outcome;
  MIXOP_CHECK(target_.objective < outcome.objectives.size(), "MnasNet reward: objective ", target_.objective,
              " should be the latency, but the evaluator measures ", outcome.objectives.size(), " objectives");
  const double latency = outcome.objectives[target_.objective];
  if (latency > 0) {
    outcome.accuracy = mnas_reward(outcome.accuracy, latency, target_);
    return outcome;
  }
  return {.cost = outcome.cost, .failed = true, .reason = kernels::text("no latency was measured: ", latency)};
}

}  // namespace mixop::nas
