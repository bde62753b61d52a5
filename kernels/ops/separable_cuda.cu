#include "kernels/ops/separable_impls_cuda.h"

namespace mixop::kernels {

// Both lists are filled or both are empty: the fusion pass replaces a convolution and its gradients together.
std::span<const Impl> separable_cuda() {
  static const Impl list[] = {kSeparableForwardCuda, kSeparablePlainCuda};
  return list;
}

std::span<const Impl> separable_grad_cuda() {
  static const Impl list[] = {kSeparableGradCuda};
  return list;
}

}  // namespace mixop::kernels
