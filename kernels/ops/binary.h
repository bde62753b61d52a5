// Arithmetic of two operands with NumPy broadcasting: shapes are aligned at the last axis, an axis of extent 1 (or
// a missing one) repeats.
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

enum class Binary : uint8_t { kAdd, kSub, kMul, kDiv };

struct BinaryAttrs {
  Binary kind = Binary::kAdd;
};

/// binary(a, b; kind) -> y of the broadcast shape. Accumulates.
std::span<const Impl> binary_cpu();
std::span<const Impl> binary_cuda();

struct ReduceToAttrs {
  Shape shape;
  double scale = 1;
};

/// reduce_to(dy; shape, scale) -> scale * dy summed over the axes along which `shape` was broadcast. Accumulates.
std::span<const Impl> reduce_to_cpu();
std::span<const Impl> reduce_to_cuda();

}  // namespace mixop::kernels
