// The official numbering of NAS-Bench-201's architectures.
#pragma once

#include <vector>

#include "nas/space/space.h"

namespace mixop::nas {

/// All 15,625 by official index. The benchmark enumerates them in lexicographic order of the six operations and
/// shuffles the list with Python's generator seeded with 88.
const std::vector<Arch>& nb201_archs();

}  // namespace mixop::nas
