// The CUDA implementations of separable and separable_grad; separable_cuda.cu lists them.
#pragma once

#include "kernels/ops/separable.h"

namespace mixop::kernels {

/// float32, x and z maybe stored as bfloat16, any window and channels, with and without a depthwise half: all units
/// of a node in one launch (separable_forward_cuda.cu).
extern const Impl kSeparableForwardCuda;
/// The same by its kernel for anything.
extern const Impl kSeparablePlainCuda;
/// The same for the way back (separable_grad_cuda.cu).
extern const Impl kSeparableGradCuda;

}  // namespace mixop::kernels
