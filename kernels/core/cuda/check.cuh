// Errors of the CUDA runtime: what was called, where, and what the runtime says.
#pragma once

#include <cuda_runtime.h>

#include "kernels/core/check.h"

namespace mixop::kernels::cuda {

/// Throws mixop::Error naming the expression and its place.
[[noreturn]] inline void fail_call(const char* expression, cudaError_t error, const char* file, int line) {
  fail("CUDA: ", cudaGetErrorString(error), " (", cudaGetErrorName(error), ") in ", expression, " at ", file, ":",
       line);
}

}  // namespace mixop::kernels::cuda

/// For calls that can throw; in destructors ignore the result instead: (void)cudaFree(p).
#define MIXOP_CUDA_CHECK(expression)                                                                       \
  do {                                                                                                     \
    const cudaError_t error_ = (expression);                                                               \
    if (error_ != cudaSuccess) ::mixop::kernels::cuda::fail_call(#expression, error_, __FILE__, __LINE__); \
  } while (0)
