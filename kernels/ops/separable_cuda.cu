#include "kernels/core/cuda/launch.cuh"
#include "kernels/ops/separable_impls_cuda.h"

namespace mixop::kernels {

__global__ void separable_placeholder() {}

// Both lists are filled or both are empty: the fusion pass replaces a convolution and its gradients together.
std::span<const Impl> separable_cuda() { return {}; }
std::span<const Impl> separable_grad_cuda() { return {}; }

}  // namespace mixop::kernels
