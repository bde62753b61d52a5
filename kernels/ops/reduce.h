// Reductions over any axes, accumulated in float64.
#pragma once

#include <array>
#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

enum class Reduce : uint8_t { kSum, kMean, kMax };

struct ReduceAttrs {
  Reduce kind = Reduce::kSum;
  std::array<bool, kMaxRank> axes{};  ///< true: reduced; counted from the first axis of x
  bool keepdims = false;              ///< keep reduced axes with extent 1, else drop them ([1] when none is left)
};

/// reduce(x; kind, axes) -> y.
std::span<const Impl> reduce_cpu();
std::span<const Impl> reduce_cuda();

struct ReduceGradAttrs {
  ReduceAttrs reduce;
  Shape shape;  ///< of x
};

/// reduce_grad(dy) -> dx for sum and mean, reduce_grad(dy, x, y) -> dx for max, where the elements equal to the
/// maximum share its gradient evenly. Accumulates.
std::span<const Impl> reduce_grad_cpu();
std::span<const Impl> reduce_grad_cuda();

}  // namespace mixop::kernels
