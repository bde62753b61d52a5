// The fast implementations on the CPU; separable_cpu.cpp lists them.
#pragma once

#include "kernels/ops/separable.h"

namespace mixop::kernels {

/// float32, any channels: image by image through tiles in the caches (separable_forward_cpu.cpp).
extern const Impl kSeparableTiles;
/// The same for the way back (separable_grad_cpu.cpp).
extern const Impl kSeparableGradTiles;

}  // namespace mixop::kernels
