// Neural architecture search with reinforcement learning (Zoph and Le 2017): REINFORCE on a recurrent controller.
#include "nas/search/controller_search.h"
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

class NasRl final : public ControllerSearch {
 public:
  using ControllerSearch::ControllerSearch;

 protected:
  void improve(Controller& controller, const std::vector<Arch>& archs,
               const std::vector<double>& advantages) override {
    PerDecision weights;
    for (size_t a = 0; a < archs.size(); ++a) weights.emplace_back(archs[a].size(), advantages[a]);
    controller.update(archs, weights);
  }
};

}  // namespace

const StrategyInfo kNasRl{
    "nas-rl",
    "REINFORCE with an LSTM controller (Zoph and Le 2017)",
    {{"layers", Type::kInt, "2", "of the LSTM", 1, 8},
     {"units", Type::kInt, "35", "of each layer", 1, 1024},
     {"init", Type::kReal, "0.08", "weights begin uniformly within plus and minus this", 0, 10},
     {"lr", Type::kReal, "6e-4", "of Adam", 0, 10},
     {"children", Type::kInt, "8", "architectures of one update", 1, 1000},
     {"power", Type::kReal, "3", "the reward is the accuracy, as a fraction, to this power", 0, 10},
     {"baseline", Type::kReal, "0.95", "decay of the moving average of rewards", 0, 0.999999}},
    [](const Space& space, const Settings& s, uint64_t seed) -> std::unique_ptr<Strategy> {
      const ControllerOptions options{.layers = static_cast<int>(s.integer("layers")),
                                      .units = static_cast<int>(s.integer("units")),
                                      .init = s.real("init"),
                                      .lr = s.real("lr")};
      return std::make_unique<NasRl>(space, options, s.real("power"), s.real("baseline"), s.integer("children"),
                                     seed);
    }};

}  // namespace mixop::nas
