#include "nas/search/strategies.h"

#include "kernels/core/check.h"

namespace mixop::nas {

const std::vector<const StrategyInfo*>& strategies() {
  static const std::vector<const StrategyInfo*> all = {
      &kRandomSearch, &kRegularizedEvolution,
      &kReinforce,    &kNasRl,
      &kPpo,          &kBayes,
      &kBananas,      &kLargeScaleEvolution,
      &kQLearning,    &kGeneticAlgorithm,
      &kLocalSearch,  &kSuccessiveHalving,
      &kHyperband,    &kAsha,
      &kBohb,         &kNsga2,
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
