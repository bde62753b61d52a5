// One line each: every method is defined in the file of its name.
#pragma once

#include "nas/search/alpha_method.h"

namespace mixop::nas {

extern const AlphaMethodInfo kDarts;
extern const AlphaMethodInfo kFairDarts;
extern const AlphaMethodInfo kDartsMinus;
extern const AlphaMethodInfo kBetaDarts;
extern const AlphaMethodInfo kPcDarts;
extern const AlphaMethodInfo kPDarts;
extern const AlphaMethodInfo kDrNas;
extern const AlphaMethodInfo kSnas;
extern const AlphaMethodInfo kGdas;

}  // namespace mixop::nas
