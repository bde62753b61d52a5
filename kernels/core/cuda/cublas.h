// cuBLAS, loaded at run time: products of row-major float32 matrices. No CUDA header is needed here; a build
// without cuBLAS's headers compiles kernels/core/no_cublas.cpp in place of cublas.cpp, and the library is then
// never available.
#pragma once

#include <string>

#include "kernels/core/exec.h"

namespace mixop::kernels::cuda {

/// The library is there and works with the current device. The first call loads it (some 0.1 s), with the device
/// selected and no capture under way; later calls only look.
bool cublas_available();

/// One line for people: "cuBLAS 13.1.0 (file)", or why it is not used.
std::string cublas_report();

/// Bytes of scratch memory for cublas_gemm(): the size advised for Hopper, the same on all devices, because it
/// decides which algorithms may be chosen; plus room for alignment.
inline constexpr size_t kCublasWorkspace = (size_t{32} << 20) + 256;

/// A row-major matrix on the device, rows `ld` elements apart.
struct GemmFactor {
  const float* data = nullptr;
  int64_t ld = 0;
  bool transpose = false;  ///< the factor is the transpose of what is stored
};

struct GemmResult {
  float* data = nullptr;
  int64_t ld = 0;
  bool add = false;  ///< to what is there, in place of replacing it
};

/// y [m,n] (+)= a [m,k] b [k,n], all extents at least 1. exec.workspace holds kCublasWorkspace bytes. Rounds
/// factors to TF32 only with exec.tf32. Equal calls give equal bits on equal devices. Throws when cuBLAS reports an
/// error.
void cublas_gemm(const Exec& exec, int64_t m, int64_t n, int64_t k, const GemmFactor& a, const GemmFactor& b,
                 const GemmResult& y);

/// to [columns,rows] (+)= the transpose of from [rows,columns], both contiguous. Needs no workspace.
void cublas_transpose(const Exec& exec, int64_t rows, int64_t columns, const float* from, float* to, bool add);

}  // namespace mixop::kernels::cuda
