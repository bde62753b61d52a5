#include "nas/search/ppo.h"

#include "nas/search/controller_search.h"
#include "nas/search/strategies.h"

namespace mixop::nas {

PerDecision clipped_weights(const PerDecision& before, const PerDecision& now,
                            const std::vector<double>& advantages, double clip) {
  PerDecision weights = now;
  for (size_t a = 0; a < now.size(); ++a)
    for (size_t t = 0; t < now[a].size(); ++t) {
      const double ratio = std::exp(now[a][t] - before[a][t]), advantage = advantages[a];
      const bool clipped = advantage > 0 ? ratio > 1 + clip : ratio < 1 - clip;
      weights[a][t] = clipped ? 0 : ratio * advantage;
    }
  return weights;
}

namespace {

using Type = Setting::Type;

class Ppo final : public ControllerSearch {
 public:
  Ppo(const Space& space, const ControllerOptions& options, const Settings& s, uint64_t seed)
      : ControllerSearch(space, options, 1, s.real("baseline"), s.integer("batch"), seed),
        clip_(s.real("clip")),
        epochs_(s.integer("epochs")) {}

 protected:
  // "Before" is the policy at the beginning of the update, also for children drawn before the last one.
  void improve(Controller& controller, const std::vector<Arch>& archs,
               const std::vector<double>& advantages) override {
    const PerDecision before = controller.log_probabilities(archs);
    for (int64_t epoch = 0; epoch < epochs_; ++epoch) {
      const PerDecision now = epoch == 0 ? before : controller.log_probabilities(archs);
      controller.update(archs, clipped_weights(before, now, advantages, clip_));
    }
  }

 private:
  double clip_;
  int64_t epochs_;
};

}  // namespace

const StrategyInfo kPpo{
    "ppo",
    "proximal policy optimisation with the NASNet controller (Zoph et al. 2018)",
    {{"units", Type::kInt, "100", "of the LSTM", 1, 1024},
     {"init", Type::kReal, "0.1", "weights begin uniformly within plus and minus this", 0, 10},
     {"lr", Type::kReal, "3.5e-4", "of Adam", 0, 10},
     {"batch", Type::kInt, "20", "architectures of one update", 1, 1000},
     {"epochs", Type::kInt, "4", "steps of Adam on each batch (the paper does not say)", 1, 100},
     {"clip", Type::kReal, "0.2", "how far a probability may move in one update, as a share", 0, 1},
     {"entropy", Type::kReal, "1e-5", "weight of the entropy bonus", 0, 10},
     {"baseline", Type::kReal, "0.95", "decay of the moving average of rewards", 0, 0.999999}},
    [](const Space& space, const Settings& s, uint64_t seed) -> std::unique_ptr<Strategy> {
      const ControllerOptions options{.layers = 1,
                                      .units = static_cast<int>(s.integer("units")),
                                      .init = s.real("init"),
                                      .lr = s.real("lr"),
                                      .entropy = s.real("entropy")};
      return std::make_unique<Ppo>(space, options, s, seed);
    }};

}  // namespace mixop::nas
