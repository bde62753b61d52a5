// What policy gradients subtract from rewards: their exponential moving average.
#pragma once

#include "nas/json.h"

namespace mixop::nas {

/// sum of (1 - decay) decay^age reward, divided by the sum of its weights, so that the first values are not drawn
/// to 0 (the correction of Adam). 0 before the first reward.
class Baseline {
 public:
  /// `decay` in [0, 1).
  explicit Baseline(double decay) : decay_(decay) {}

  void update(double reward) {
    sum_ = decay_ * sum_ + (1 - decay_) * reward;
    weight_ = decay_ * weight_ + (1 - decay_);
  }
  double value() const { return weight_ > 0 ? sum_ / weight_ : 0; }

  Json save() const { return {sum_, weight_}; }
  void load(const Json& state) {
    sum_ = state.at(0);
    weight_ = state.at(1);
  }

 private:
  double decay_, sum_ = 0, weight_ = 0;
};

}  // namespace mixop::nas
