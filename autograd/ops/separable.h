// Fused separable convolutions. No builder: passes/fuse_separable.cpp puts them in the place of their composites.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/separable.h"

namespace mixop::autograd {

extern const OpDef kSeparable, kSeparableGrad;

/// Units of the node may be skipped, and what is in the place of their results is not theirs.
inline bool skips_units(const Node& n) { return n.op == &kSeparable && n.attr<kernels::SeparableAttrs>().active; }

}  // namespace mixop::autograd
