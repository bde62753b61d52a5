#include "kernels/ops/conv2d_impls_cuda.h"

namespace mixop::kernels {

std::span<const Impl> conv2d_cuda() {
  static const Impl list[] = {kConv2dDepthwiseCuda,    kConv2dCudnn,     kConv2dCublas, kConv2dPointwiseCuda,
                              kConv2dImplicitGemmCuda, kConv2dDirectCuda};
  return list;
}

std::span<const Impl> conv2d_dgrad_cuda() {
  static const Impl list[] = {kConv2dDgradDepthwiseCuda,    kConv2dDgradCudnn,
                              kConv2dDgradCublas,           kConv2dDgradPointwiseCuda,
                              kConv2dDgradImplicitGemmCuda, kConv2dDgradDirectCuda};
  return list;
}

std::span<const Impl> conv2d_wgrad_cuda() {
  static const Impl list[] = {kConv2dWgradDepthwiseCuda,    kConv2dWgradCudnn,
                              kConv2dWgradCublas,           kConv2dWgradPointwiseCuda,
                              kConv2dWgradImplicitGemmCuda, kConv2dWgradDirectCuda};
  return list;
}

}  // namespace mixop::kernels
