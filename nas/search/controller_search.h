// What searches with a recurrent controller share: children are drawn from it, and whenever a batch of rewards is
// there it learns from them.
#pragma once

#include <cmath>

#include "nas/search/baseline.h"
#include "nas/search/controller.h"
#include "nas/search/strategy.h"

namespace mixop::nas {

class ControllerSearch : public Strategy {
 public:
  /// The reward of an accuracy in per cent is (accuracy / 100)^power. `decay` is that of the baseline, `batch` the
  /// number of children that the controller learns from at a time.
  ControllerSearch(const Space& space, const ControllerOptions& options, double power, double decay, int64_t batch,
                   uint64_t seed)
      : controller_(space, options, seed),
        power_(power),
        baseline_(decay),
        batch_(static_cast<size_t>(batch)),
        random_(seed) {}

 protected:
  /// Learns from a whole batch; advantages are rewards less the baseline of all earlier ones.
  virtual void improve(Controller& controller, const std::vector<Arch>& archs,
                       const std::vector<double>& advantages) = 0;

  std::optional<Candidate> propose() override { return Candidate{.arch = controller_.sample(random_)}; }

  void learn(const Candidate& c, const Outcome& outcome) override {
    const double reward = std::pow(outcome.accuracy / 100, power_);
    archs_.push_back(c.arch);
    advantages_.push_back(reward - baseline_.value());
    baseline_.update(reward);
    if (archs_.size() < batch_) return;
    improve(controller_, archs_, advantages_);
    archs_.clear();
    advantages_.clear();
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    state["baseline"] = baseline_.save();
    state["controller"] = controller_.save();
    state["archs"] = archs_;
    state["advantages"] = advantages_;
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    baseline_.load(state.at("baseline"));
    controller_.load(state.at("controller"));
    archs_ = state.at("archs").get<std::vector<Arch>>();
    advantages_ = state.at("advantages").get<std::vector<double>>();
  }

 private:
  Controller controller_;
  double power_;
  Baseline baseline_;
  size_t batch_;
  Random random_;
  std::vector<Arch> archs_;  // told since the last batch
  std::vector<double> advantages_;
};

}  // namespace mixop::nas
