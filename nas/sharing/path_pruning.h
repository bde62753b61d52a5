// Pruning of a trained one-shot network: which candidates can go without harm, seen from all of them together.
#pragma once

#include <memory>

#include "nas/sharing/path_selection.h"

namespace mixop::nas {

/// Every candidate that is left is taken out alone and the rest scored; then the half of each row without which the
/// accuracy was highest goes, until one is left of each. A last round takes whole rows out: what is worst to miss
/// is the strongest, by which the space picks the edges that stay. `none` is no candidate. Each network is scored
/// on `batches` of the validation images, 0: all.
///
/// Entries of the history are ones and zeros, one for each candidate of the tables. The space must outlive the
/// selection, whose networks need plans that carry out all candidates.
std::unique_ptr<PathSelection> path_pruning(const MixedSpace& space, int64_t batches);

}  // namespace mixop::nas
