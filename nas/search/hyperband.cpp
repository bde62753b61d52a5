// Successive halving (Jamieson and Talwalkar 2016) and Hyperband (Li et al. 2018), with random candidates.
#include "nas/search/brackets.h"
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;

std::vector<Setting> with_fidelities(std::vector<Setting> settings) {
  for (Setting& s : fidelity_settings()) settings.push_back(std::move(s));
  return settings;
}

}  // namespace

const StrategyInfo kSuccessiveHalving{
    "successive-halving", "short trainings of many, longer ones of the best (Jamieson and Talwalkar 2016)",
    with_fidelities({{"candidates", Type::kInt, "0", "that begin; 0: eta to the power of the longer rungs", 0, 1e6},
                     {"brackets", Type::kInt, "0", "end the search; 0: again and again", 0, 1e9}}),
    [](const Space& space, const Settings& s, uint64_t seed) -> std::unique_ptr<Strategy> {
      const std::vector<double> epochs = fidelities(s);
      const int64_t eta = s.integer("eta");
      int64_t candidates = s.integer("candidates");
      if (candidates == 0) candidates = hpbandster(epochs, eta).front().front().candidates;
      return std::make_unique<BracketSearch>(
          space, std::vector<Bracket>{successive_halving(candidates, epochs, eta)}, s.integer("brackets"), seed);
    }};

const StrategyInfo kHyperband{
    "hyperband", "brackets of successive halving, from bold to careful (Li et al. 2018)",
    with_fidelities({{"arithmetic",
                      Type::kText,
                      "paper",
                      "how many begin a bracket; hpbandster: fewer, as BOHB's "
                      "code has it",
                      0,
                      0,
                      {"paper", "hpbandster"}},
                     {"brackets", Type::kInt, "0", "end the search; 0: round after round", 0, 1e9}}),
    [](const Space& space, const Settings& s, uint64_t seed) -> std::unique_ptr<Strategy> {
      const std::vector<double> epochs = fidelities(s);
      const auto round = s.text("arithmetic") == "paper" ? hyperband : hpbandster;
      return std::make_unique<BracketSearch>(space, round(epochs, s.integer("eta")), s.integer("brackets"), seed);
    }};

}  // namespace mixop::nas
