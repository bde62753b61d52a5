// Drop path as a factor of what reads the dropped tensor.
#pragma once

#include "autograd/passes/rewrite.h"

namespace mixop::autograd {

/// v [N, ..] is another tensor whose samples have been multiplied by a mask [N].
bool drops_samples(const Graph& g, Value v);
/// That by which they have been multiplied, mask / keep [N]: one value for all who ask, as early in the
/// order as it can be.
Value sample_factors(Rewriter& r, Value v);

}  // namespace mixop::autograd
