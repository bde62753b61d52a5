#include "nas/search/strategies.h"

#include "kernels/core/check.h"

namespace mixop::nas {

const std::vector<const StrategyInfo*>& strategies() {
  static const std::vector<const StrategyInfo*> all = {
      &kRandomSearch,
      &kGeneticAlgorithm,
      &kLargeScaleEvolution,
      &kRegularizedEvolution,
      &kNsga2,
      &kLocalSearch,
      &kReinforce,
      &kNasRl,
      &kPpo,
      &kQLearning,
      &kBayes,
      &kBananas,
      &kSuccessiveHalving,
      &kHyperband,
      &kAsha,
      &kBohb,
  };
  return all;
}

const StrategyInfo& find_strategy(const std::string& name) {
  std::string known;
  for (const StrategyInfo* s : strategies()) {
    if (s->name == name) return *s;
    known += (known.empty() ? "" : ", ") + s->name;
  }
  kernels::fail("unknown strategy '", name, "'; there are: ", known);
}

}  // namespace mixop::nas
