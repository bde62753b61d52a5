// Cells with few skips: the restriction with which P-DARTS (Chen et al. 2019, section 3.3.2) derives its cell.
#pragma once

#include <string>
#include <vector>

#include "nas/sharing/mixed_space.h"

namespace mixop::nas {

int count_skips(const CellGenotype& cell);

/// Decodes strengths whose normal cell (the first table, columns of kDartsOps) has at most `most` skips: as long as
/// there are more, the weakest of them gets strength 0 and operations and edges are chosen anew.
std::string decode_with_skips(const MixedSpace& space, std::vector<TableValues> strengths, int most);

}  // namespace mixop::nas
