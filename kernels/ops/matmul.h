// Matrix product.
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

struct MatmulAttrs {
  bool transpose_a = false, transpose_b = false;
};

/// matmul(a, b; transpose_a, transpose_b) -> y [M,N] = A B with A [M,K] = a or its transpose, B [K,N] = b or its
/// transpose. Accumulates.
std::span<const Impl> matmul_cpu();
std::span<const Impl> matmul_cuda();

}  // namespace mixop::kernels
