// Channel shuffle of ShuffleNet (Zhang et al. 2018).
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

struct ShuffleAttrs {
  int64_t groups = 1;  ///< divides C
};

/// channel_shuffle(x [..., C]; groups) -> y with y[..., j groups + i] = x[..., i C/groups + j]. The inverse is the
/// shuffle with C/groups groups. Accumulates.
std::span<const Impl> channel_shuffle_cpu();
std::span<const Impl> channel_shuffle_cuda();

}  // namespace mixop::kernels
