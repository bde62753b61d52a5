// What a report says about the architecture that a search with shared weights ended at.
#pragma once

#include <string>

#include "nas/sharing/mixed_space.h"

namespace mixop::cli {

/// How many operations are skip connections, and a warning when nearly all are: such a search has collapsed, as
/// alphas come to prefer what trains fastest (DARTS-, Chu et al. 2021). In the DARTS space each cell is looked at
/// for itself, in others all of the architecture (nas::describe_candidates). Each line is ended by a line break.
std::string describe_skips(const nas::MixedSpace& space, const std::string& architecture);

}  // namespace mixop::cli
