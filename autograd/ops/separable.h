// Fused separable convolutions. No builder: passes/fuse_separable.cpp puts them in the place of their composites.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/separable.h"

namespace mixop::autograd {

extern const OpDef kSeparable, kSeparableGrad;

}  // namespace mixop::autograd
