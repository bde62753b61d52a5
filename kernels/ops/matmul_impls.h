// Implementations of the product that have files of their own; matmul_cuda.cu lists them.
#pragma once

#include "kernels/ops/matmul.h"

namespace mixop::kernels {

/// cuBLAS, where it can be loaded (matmul_cublas.cpp).
extern const Impl kMatmulCublas;

}  // namespace mixop::kernels
