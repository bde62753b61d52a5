// Activations: functions of one element.
#pragma once

#include <span>

#include "kernels/core/impl.h"
#include "kernels/core/on_load.h"

namespace mixop::kernels {

/// As defined by PyTorch with its default arguments: gelu by erf, leaky_relu slope 0.01, elu alpha 1, softplus beta
/// 1 and linear above 20.
enum class Unary : uint8_t {
  kIdentity,
  kRelu,
  kSigmoid,
  kTanh,
  kGelu,
  kSilu,
  kRelu6,
  kHardSwish,
  kHardSigmoid,
  kLeakyRelu,
  kElu,
  kSoftplus
};

struct UnaryAttrs {
  Unary kind = Unary::kIdentity;
};

/// unary(x; kind) -> y, same shape.
std::span<const Impl> unary_cpu();
std::span<const Impl> unary_cuda();
/// unary_grad(dy, x; kind) -> dx = dy f'(x). Accumulates.
std::span<const Impl> unary_grad_cpu();
std::span<const Impl> unary_grad_cuda();

/// relu(x) -> y = max(x, 0). It has an op of its own because fusion passes look for it.
std::span<const Impl> relu_cpu();
std::span<const Impl> relu_cuda();

struct ReluGradAttrs {
  OnLoad load;  ///< only its norm and affine parts count
};
/// relu_grad(dy, x [, mean, rstd [, gamma, beta]]) -> dx = dy where t(x) > 0, else 0; t is the normalisation of
/// `load` over the last axis. Accumulates.
std::span<const Impl> relu_grad_cpu();
std::span<const Impl> relu_grad_cuda();

}  // namespace mixop::kernels
