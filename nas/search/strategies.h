// One line a family: each strategy is defined in the file of its name.
#pragma once

#include "nas/search/strategy.h"

namespace mixop::nas {

extern const StrategyInfo kRandomSearch;
extern const StrategyInfo kGeneticAlgorithm, kLargeScaleEvolution, kRegularizedEvolution, kNsga2, kLocalSearch;
extern const StrategyInfo kReinforce, kNasRl, kPpo, kQLearning;
extern const StrategyInfo kBayes, kBananas;
extern const StrategyInfo kSuccessiveHalving, kHyperband, kAsha, kBohb;

}  // namespace mixop::nas
