// Joining and cutting tensors along an axis. On the last axis both are free (views of channel slices, see
// OpDef::Alias) and need no kernel; these are the others.
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

/// slice(x; begin, length): elements [begin, begin + length) of the last axis. No kernel.
struct SliceAttrs {
  int64_t begin = 0, length = 0;
};

struct ReshapeAttrs {
  Shape shape;
};

struct ConcatAttrs {
  int axis = 0;  ///< counted from the first
};
/// concat_axis(x0, x1, ...; axis) -> y.
std::span<const Impl> concat_axis_cpu();
std::span<const Impl> concat_axis_cuda();

struct SliceAxisAttrs {
  int axis = 0;
  int64_t begin = 0, length = 0;
};
/// slice_axis(x; axis, begin, length) -> y. Accumulates.
std::span<const Impl> slice_axis_cpu();
std::span<const Impl> slice_axis_cuda();

struct SliceGradAttrs {
  int axis = 0;
  int64_t begin = 0;
  Shape shape;  ///< of x
};
/// slice_grad(dy; axis, begin, shape) -> dx: dy in its place, 0 elsewhere. Accumulates.
std::span<const Impl> slice_grad_cpu();
std::span<const Impl> slice_grad_cuda();

}  // namespace mixop::kernels
