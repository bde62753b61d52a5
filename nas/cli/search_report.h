// What a report says about the architecture that a search with shared weights ended at.
#pragma once

#include <string>

namespace mixop::cli {

/// How many operations of each cell are skip connections, and a warning when nearly all are: such a search has
/// collapsed, as alphas come to prefer what trains fastest (DARTS-, Chu et al. 2021). For a genotype of the DARTS
/// space or any other text in which operations have their names. Each line is ended by a line break.
std::string describe_skips(const std::string& architecture);

}  // namespace mixop::cli
