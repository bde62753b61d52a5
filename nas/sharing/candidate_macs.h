// What the candidates of a big network cost.
#pragma once

#include "nas/sharing/mixed_space.h"

namespace mixop::nas {

/// Multiply-adds of one image through each candidate in all its places, by table: what the network loses with the
/// candidate (Mixing::kept). Throws mixop::Error when it never loses any.
std::vector<TableValues> candidate_macs(const MixedSpace& space);

}  // namespace mixop::nas
