// 2-d convolution, its data gradient and its weight gradient. Activations [N,H,W,C], weights [R,S,C/groups,K]
// contiguous. Spatial pairs are in [height, width] order.
#pragma once

#include <array>
#include <span>

#include "kernels/core/impl.h"
#include "kernels/core/on_load.h"

namespace mixop::kernels {

struct Conv2dAttrs {
  std::array<int, 2> kernel{1, 1}, stride{1, 1}, pad_begin{0, 0}, pad_end{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  OnLoad load{};      ///< applied to x (conv2d, conv2d_wgrad), or to the mask operand (conv2d_dgrad)
  bool mask = false;  ///< conv2d_dgrad only: dx is multiplied by [t(x0) > 0]
  Shape x{};          ///< conv2d_dgrad: shape of dx
};

/// Output extent of one axis (0: height, 1: width): floor((in + begin + end - dilation (kernel - 1) - 1) / stride)
/// + 1, below 1 when the kernel does not fit. Paddings may be negative: pad_begin -1 is the view x[1:].
inline int64_t conv2d_extent(int64_t in, const Conv2dAttrs& a, int axis) {
  const int64_t span =
      in + a.pad_begin[axis] + a.pad_end[axis] - int64_t{a.dilation[axis]} * (a.kernel[axis] - 1) - 1;
  return span < 0 ? 0 : span / a.stride[axis] + 1;
}

/// conv2d(x, w, [mean, rstd, [gamma, beta]]) -> y [N,OH,OW,K] of t(x), t as in kernels/core/on_load.h. Padding
/// applies after t: a padded cell contributes 0.
std::span<const Impl> conv2d_cpu();
std::span<const Impl> conv2d_cuda();

/// conv2d_dgrad(dy, w, [x0, [mean, rstd, [gamma, beta]]]) -> dx. With mask, dx is 0 where t(x0) <= 0; of t only the
/// norm part counts. Accumulates.
std::span<const Impl> conv2d_dgrad_cpu();
std::span<const Impl> conv2d_dgrad_cuda();

/// conv2d_wgrad(dy, x, [mean, rstd, [gamma, beta]]) -> dw, the gradient for a convolution of t(x). Accumulates.
std::span<const Impl> conv2d_wgrad_cpu();
std::span<const Impl> conv2d_wgrad_cuda();

}  // namespace mixop::kernels
