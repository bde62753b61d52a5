// Softmax and its logarithm over any axis; the largest element is subtracted first, so large inputs do not
// overflow.
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

struct SoftmaxAttrs {
  int axis = 0;  ///< counted from the first
};

/// softmax(x; axis) -> y = exp(x) / sum over the axis of exp(x).
std::span<const Impl> softmax_cpu();
std::span<const Impl> softmax_cuda();
/// softmax_grad(dy, y; axis) -> dx = y (dy - sum(dy y)). Accumulates.
std::span<const Impl> softmax_grad_cpu();
std::span<const Impl> softmax_grad_cuda();
/// log_softmax(x; axis) -> y = x - log(sum over the axis of exp(x)).
std::span<const Impl> log_softmax_cpu();
std::span<const Impl> log_softmax_cuda();
/// log_softmax_grad(dy, y; axis) -> dx = dy - exp(y) sum(dy). Accumulates.
std::span<const Impl> log_softmax_grad_cpu();
std::span<const Impl> log_softmax_grad_cuda();

}  // namespace mixop::kernels
