// Random masks and their application: dropout of elements, drop path of samples.
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

struct BernoulliAttrs {
  Shape shape;
  double keep = 1;  ///< probability of a 1; replaced by the second input where there is one
  uint64_t seed = 0, stream = 0;
};

/// bernoulli(counter [1] [, keep [1]]; shape, ...) -> mask of 0 and 1. The counter (any type) holds the step:
/// element i is 1 when uniform24(philox(seed, stream, counter * elements + i)) < keep in float32, so float32 and
/// float64 graphs draw the same mask.
std::span<const Impl> bernoulli_cpu();
std::span<const Impl> bernoulli_cuda();

struct MaskScaleAttrs {
  double keep = 1;  ///< replaced by the third input where there is one
};

/// mask_scale(x, mask [, keep [1]]; keep) -> y = x mask / keep, and 0 when keep is 0. The mask has x's shape, or is
/// one number a sample: [N] or [N, 1, ...] for x [N, ...]. Accumulates.
std::span<const Impl> mask_scale_cpu();
std::span<const Impl> mask_scale_cuda();

}  // namespace mixop::kernels
