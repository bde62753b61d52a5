// The activations and their derivatives as device functions; kernels/ops/unary_ref.h defines them.
#pragma once

#include <cuda_runtime.h>

#include "kernels/ops/unary.h"

namespace mixop::kernels::cuda {

__device__ __forceinline__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }

/// f(x). Comparisons are written so that NaN comes through.
template <Unary kKind>
__device__ __forceinline__ float unary_value(float x) {
  if constexpr (kKind == Unary::kRelu) return x <= 0 ? 0 : x;
  else if constexpr (kKind == Unary::kSigmoid) return sigmoid(x);
  else if constexpr (kKind == Unary::kTanh) return tanhf(x);
  else if constexpr (kKind == Unary::kGelu) return x * 0.5f * (1 + erff(x * 0.70710678f));
  else if constexpr (kKind == Unary::kSilu) return x * sigmoid(x);
  else if constexpr (kKind == Unary::kRelu6) return x <= 0 ? 0 : x >= 6 ? 6 : x;
  else if constexpr (kKind == Unary::kHardSwish) return x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6;
  else if constexpr (kKind == Unary::kHardSigmoid) return x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6;
  else if constexpr (kKind == Unary::kLeakyRelu) return x > 0 ? x : x * 0.01f;
  else if constexpr (kKind == Unary::kElu) return x > 0 ? x : expm1f(x);
  else if constexpr (kKind == Unary::kSoftplus) return x > 20 ? x : log1pf(expf(x));
  else return x;
}

/// f'(x); at a kink the side that PyTorch takes.
template <Unary kKind>
__device__ __forceinline__ float unary_slope(float x) {
  if constexpr (kKind == Unary::kRelu) {
    return x <= 0 ? 0 : 1;
  } else if constexpr (kKind == Unary::kSigmoid) {
    const float s = sigmoid(x);
    return s * (1 - s);
  } else if constexpr (kKind == Unary::kTanh) {
    const float t = tanhf(x);
    return 1 - t * t;
  } else if constexpr (kKind == Unary::kGelu) {  // Phi(x) + x phi(x), phi the normal density
    return 0.5f * (1 + erff(x * 0.70710678f)) + x * expf(x * x * -0.5f) * 0.39894228f;
  } else if constexpr (kKind == Unary::kSilu) {
    const float s = sigmoid(x);
    return s * (1 + x * (1 - s));
  } else if constexpr (kKind == Unary::kRelu6) {
    return x <= 0 || x >= 6 ? 0 : 1;
  } else if constexpr (kKind == Unary::kHardSwish) {
    return x < -3 ? 0 : x > 3 ? 1 : x / 3 + 0.5f;
  } else if constexpr (kKind == Unary::kHardSigmoid) {
    return x <= -3 || x >= 3 ? 0 : 1.0f / 6;
  } else if constexpr (kKind == Unary::kLeakyRelu) {
    return x > 0 ? 1 : 0.01f;
  } else if constexpr (kKind == Unary::kElu) {
    return x > 0 ? 1 : expf(x);
  } else if constexpr (kKind == Unary::kSoftplus) {
    return x > 20 ? 1 : sigmoid(x);
  } else {
    return 1;
  }
}

}  // namespace mixop::kernels::cuda
