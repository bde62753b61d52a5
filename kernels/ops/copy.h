// Copies and constants.
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
/// fill(; shape, value) -> y, every element `value`.
std::span<const Impl> fill_cpu();

}  // namespace mixop::kernels
