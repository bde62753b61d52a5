// Proximal policy optimisation of a recurrent controller (Schulman et al. 2017; Zoph et al. 2018).
#pragma once

#include "nas/search/controller.h"

namespace mixop::nas {

/// What each decision's log-probability weighs in the gradient of the clipped surrogate: with the ratio of its
/// probability now to that before the update, r, the derivative of min(r A, clip(r, 1 - clip, 1 + clip) A) with
/// respect to log r, which is r A where the first is the smaller or both are equal, else 0. A is the advantage of
/// its architecture.
PerDecision clipped_weights(const PerDecision& before, const PerDecision& now,
                            const std::vector<double>& advantages, double clip);

}  // namespace mixop::nas
