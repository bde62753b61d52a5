// One line a strategy: each is defined in the file of its name.
#pragma once

#include "nas/search/strategy.h"

namespace mixop::nas {

extern const StrategyInfo kRandomSearch, kRegularizedEvolution;
extern const StrategyInfo kLargeScaleEvolution;
extern const StrategyInfo kQLearning;
extern const StrategyInfo kGeneticAlgorithm, kLocalSearch;
extern const StrategyInfo kSuccessiveHalving, kHyperband, kAsha, kBohb;
extern const StrategyInfo kNsga2;
extern const StrategyInfo kReinforce, kNasRl, kPpo, kBayes, kBananas;

}  // namespace mixop::nas
