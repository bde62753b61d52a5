// One candidate of each row drawn by the Gumbel trick, or its relaxation (Jang et al. 2017; Maddison et al. 2017).
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

struct GumbelSoftmaxAttrs {
  bool hard = false;  ///< straight through: one-hot forward, the gradient of the relaxation backward
};

/// gumbel_softmax(alphas [R,K], noise [R,K], temperature [1] > 0; hard) -> y [R,K]: each row the softmax of (alphas
/// + noise) / temperature, or with `hard` 1 at the first largest alphas + noise and 0 elsewhere.
std::span<const Impl> gumbel_softmax_cpu();
std::span<const Impl> gumbel_softmax_cuda();
/// gumbel_softmax_grad(dy, alphas, noise, temperature) -> d alphas = p (dy - sum(dy p)) / temperature, where p is
/// the relaxation, hard or not. Accumulates.
std::span<const Impl> gumbel_softmax_grad_cpu();
std::span<const Impl> gumbel_softmax_grad_cuda();

}  // namespace mixop::kernels
