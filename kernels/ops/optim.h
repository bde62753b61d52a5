// Optimiser steps on flat buffers. They have no outputs: they write through their inputs (in[i].data), and read the
// learning rate, the step count and the gradient norm from [1] tensors of the same type, so a plan never changes.
// With `norm` (of all gradients, see grad_norm) and clip > 0 gradients are first scaled by min(1, clip / (norm +
// 1e-6)).
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

/// grad_norm(x [P]) -> [1], the L2 norm, summed in float64.
std::span<const Impl> grad_norm_cpu();
std::span<const Impl> grad_norm_cuda();

struct SgdAttrs {
  double momentum = 0, weight_decay = 0;
  double clip = 0;  ///< 0: off
  double dampening = 0;
  bool nesterov = false;
};
/// sgd_step(param, grad, buffer, lr [, norm]): g += weight_decay p, buffer = momentum buffer + (1 - dampening) g,
/// p -= lr (nesterov ? g + momentum buffer : buffer). The buffer starts at zeros, which is PyTorch's first step
/// when dampening is 0. Without momentum p -= lr g and the buffer is not touched (param may stand in).
std::span<const Impl> sgd_step_cpu();
std::span<const Impl> sgd_step_cuda();

struct AdamAttrs {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  double clip = 0;         ///< 0: off
  bool decoupled = false;  ///< AdamW: p *= 1 - lr weight_decay, in place of g += weight_decay p
};
/// adam_step(param, grad, m, v, step, lr [, norm]): step t += 1, m = beta1 m + (1 - beta1) g,
/// v = beta2 v + (1 - beta2) g^2, p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
/// Kingma and Ba 2015; Loshchilov and Hutter 2019.
std::span<const Impl> adam_step_cpu();
std::span<const Impl> adam_step_cuda();

struct RmspropAttrs {
  double alpha = 0.99, eps = 1e-8, momentum = 0, weight_decay = 0;
  double clip = 0;  ///< 0: off
};
/// rmsprop_step(param, grad, square, buffer, lr [, norm]): square = alpha square + (1 - alpha) g^2,
/// d = g / (sqrt(square) + eps), buffer = momentum buffer + d, p -= lr buffer. Without momentum p -= lr d and the
/// buffer is not touched.
std::span<const Impl> rmsprop_step_cpu();
std::span<const Impl> rmsprop_step_cuda();

}  // namespace mixop::kernels
