// One line a strategy: each is defined in the file of its name.
#pragma once

#include "nas/search/strategy.h"

namespace mixop::nas {

extern const StrategyInfo kRandomSearch, kRegularizedEvolution;
extern const StrategyInfo kReinforce, kBayes;

}  // namespace mixop::nas
