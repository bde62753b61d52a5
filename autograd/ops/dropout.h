// Dropout of elements and drop path of samples. A mask is a function of (seed, stream, counter), see
// kernels/ops/dropout.h: give each use in a network a stream of its own and advance the counter once a step.
#pragma once

#include "autograd/graph.h"
#include "kernels/ops/dropout.h"

namespace mixop::autograd {

extern const OpDef kBernoulli, kMaskScale;

/// The probability to keep: a fixed number in [0, 1], or a [1] tensor for schedules that change it between steps.
struct Keep {
  double fixed = 1;
  Value now = {};
  Keep(double fixed) : fixed(fixed) {}
  Keep(Value now) : now(now) { MIXOP_CHECK(now, "dropout: the keep tensor is missing"); }
};

/// Mask of 1 with probability keep, else 0; no gradient. counter is [1] of any type.
Value bernoulli(Graph& g, const Shape& shape, Keep keep, uint64_t seed, uint64_t stream, Value counter);
/// x mask / keep, all 0 when keep is 0. The mask has x's shape, or is one number a sample: [N] or [N, 1, ...] for
/// x [N, ...]. No gradient flows into the mask.
Value apply_mask(Graph& g, Value x, Value mask, Keep keep);
/// x with elements dropped, the rest scaled by 1 / keep.
Value dropout(Graph& g, Value x, Keep keep, uint64_t seed, uint64_t stream, Value counter);
/// x [N, ...] with whole samples dropped, the rest scaled by 1 / keep (Larsson et al. 2017).
Value drop_path(Graph& g, Value x, Keep keep, uint64_t seed, uint64_t stream, Value counter);

}  // namespace mixop::autograd
