// The fast implementations of the three convolution ops; conv2d_cpu.cpp lists them.
#pragma once

#include "kernels/ops/conv2d.h"

namespace mixop::kernels {

/// groups == channels in == channels out: a register-blocked stencil over a padded tile (conv2d_depthwise_cpu.cpp).
extern const Impl kConv2dDepthwise, kConv2dDgradDepthwise, kConv2dWgradDepthwise;
/// 1x1 without groups: a matrix product over pixels (conv2d_gemm_cpu.cpp).
extern const Impl kConv2dPointwise, kConv2dDgradPointwise, kConv2dWgradPointwise;
/// Any other kernel and any groups: the same product over gathered patches (conv2d_gemm_cpu.cpp).
extern const Impl kConv2dIm2col, kConv2dDgradIm2col, kConv2dWgradIm2col;

}  // namespace mixop::kernels
