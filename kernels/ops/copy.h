// Copies, constants and counters.
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

struct FillAttrs {
  Shape shape;
  double value = 0;
};

/// copy(x) -> y of the same shape, strided rows to strided rows. Accumulates (kAdd: y += x).
std::span<const Impl> copy_cpu();
std::span<const Impl> copy_cuda();
/// fill(; shape, value) -> y, every element `value`.
std::span<const Impl> fill_cpu();
std::span<const Impl> fill_cuda();
/// assign(target, x): writes x over the target, of the same shape. No output.
std::span<const Impl> assign_cpu();
std::span<const Impl> assign_cuda();
/// advance(counter [1]): adds 1 to the counter in place (float32, float64 or int32). No output.
std::span<const Impl> advance_cpu();
std::span<const Impl> advance_cuda();

}  // namespace mixop::kernels
