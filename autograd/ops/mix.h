// The mixed operation of a differentiable supernet: a sum of candidates weighted by elements of a table.
#pragma once

#include <utility>

#include "autograd/graph.h"
#include "kernels/ops/mix.h"

namespace mixop::autograd {

/// kMixReduce has no builder: passes/fuse_mix.cpp puts it in the place of its composite.
extern const OpDef kMix, kScale, kMixWeightGrad, kMixReduce;

/// sum over terms (index, z) of table[index] * z; index counts over the flattened table (softmaxed architecture
/// weights, [edges, ops] or any other shape), all z have the shape [.., C] of the result. Elements of the table
/// without a term (the "none" candidate) get gradient 0. Throws when there is no term, shapes differ or an index is
/// outside.
Value mix(Graph& g, Value table, const std::vector<std::pair<int64_t, Value>>& terms);

/// table[index] * x.
Value scale(Graph& g, Value table, Value x, int64_t index);

}  // namespace mixop::autograd
