#pragma once

#include "autograd/graph.h"
#include "kernels/ops/shuffle.h"

namespace mixop::autograd {

extern const OpDef kChannelShuffle;

/// Channels of x [..., C] seen as [groups, C/groups] and transposed, as PyTorch's channel_shuffle (ShuffleNet,
/// Zhang et al. 2018). Throws when groups does not divide C.
Value channel_shuffle(Graph& g, Value x, int64_t groups);

}  // namespace mixop::autograd
