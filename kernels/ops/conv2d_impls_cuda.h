// The CUDA implementations of the three convolution ops; conv2d_cuda.cu lists them.
#pragma once

#include "kernels/ops/conv2d.h"

namespace mixop::kernels {

/// groups == channels in == channels out: a stencil (conv2d_depthwise_cuda.cu).
extern const Impl kConv2dDepthwiseCuda, kConv2dDgradDepthwiseCuda, kConv2dWgradDepthwiseCuda;
/// The libraries, where they are present: any kernel (conv2d_cudnn.cpp), and 1x1 as a product (conv2d_cublas.cpp).
extern const Impl kConv2dCudnn, kConv2dDgradCudnn, kConv2dWgradCudnn;
extern const Impl kConv2dCublas, kConv2dDgradCublas, kConv2dWgradCublas;
/// 1x1 without groups: a matrix product over pixels (conv2d_gemm_cuda.cu).
extern const Impl kConv2dPointwiseCuda, kConv2dDgradPointwiseCuda, kConv2dWgradPointwiseCuda;
/// Any kernel of at most 32 elements an axis, without groups or with groups of at least 8 channels: the same
/// product over gathered pixels (conv2d_gemm_cuda.cu).
extern const Impl kConv2dImplicitGemmCuda, kConv2dDgradImplicitGemmCuda, kConv2dWgradImplicitGemmCuda;
/// Anything: one output element a thread (conv2d_direct_cuda.cu).
extern const Impl kConv2dDirectCuda, kConv2dDgradDirectCuda, kConv2dWgradDirectCuda;

}  // namespace mixop::kernels
