// Pooling over windows, x [N, H, W, C] -> y [N, Ho, Wo, C], as PyTorch defines it.
//   max_pool       x -> y; padding acts as -inf, a NaN in the window gives NaN
//   max_pool_grad  dy, x -> dx (accumulates); the first maximum of a window in row-major order takes the gradient
//                  (with NaNs the last NaN); the maximum is found again from x, nothing is saved
//   max_pool_take  v, x -> y, the element of v, like x, where max_pool_grad sends dy: its transpose
//   avg_pool       x -> y; divides by the number of valid cells, with include_pad also counting padding (but not
//   what
//                  lies beyond it in ceil mode); dilation 1
//   avg_pool_grad  dy -> dx (accumulates)
#pragma once

#include <algorithm>
#include <array>
#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

/// Pairs are [vertical, horizontal].
struct PoolAttrs {
  std::array<int, 2> kernel{3, 3}, stride{1, 1}, pad{1, 1};
  std::array<int, 2> dilation{1, 1};
  bool include_pad = false;
  bool ceil_mode = false;
};

struct AvgPoolGradAttrs {
  PoolAttrs pool;
  Shape x;
};

/// One axis (0 vertical, 1 horizontal) of a pooling.
struct PoolAxis {
  int64_t size, kernel, stride, pad, dilation;
  bool include_pad, ceil_mode;

  PoolAxis(const PoolAttrs& a, const Shape& x, int axis)
      : size(x[1 + axis]),
        kernel(a.kernel[axis]),
        stride(a.stride[axis]),
        pad(a.pad[axis]),
        dilation(a.dilation[axis]),
        include_pad(a.include_pad),
        ceil_mode(a.ceil_mode) {}

  /// Cells from the first to the last of a window.
  int64_t extent() const { return (kernel - 1) * dilation + 1; }
  /// Where window o begins; may be negative.
  int64_t begin(int64_t o) const { return o * stride - pad; }
  /// Number of windows; none when the padded axis is shorter than a window.
  int64_t outputs() const {
    const int64_t room = size + 2 * pad - extent();
    if (room < 0) return 0;
    const int64_t n = (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;
    return ceil_mode && begin(n - 1) >= size ? n - 1 : n;  // the last window must begin inside
  }
  /// What an average over window o divides by, along this axis.
  int64_t divisor(int64_t o) const {
    const int64_t from = begin(o), to = std::min(from + kernel, size + pad);
    return include_pad ? to - from : std::min(to, size) - std::max<int64_t>(from, 0);
  }
};

std::span<const Impl> max_pool_cpu();
std::span<const Impl> max_pool_cuda();
std::span<const Impl> max_pool_grad_cpu();
std::span<const Impl> max_pool_grad_cuda();
std::span<const Impl> max_pool_take_cpu();
std::span<const Impl> max_pool_take_cuda();
std::span<const Impl> avg_pool_cpu();
std::span<const Impl> avg_pool_cuda();
std::span<const Impl> avg_pool_grad_cpu();
std::span<const Impl> avg_pool_grad_cuda();

}  // namespace mixop::kernels
