// In place of cuda/cublas.cpp where cuBLAS's headers are not installed.
#include "kernels/core/check.h"
#include "kernels/core/cuda/cublas.h"
#include "kernels/core/cuda/library.h"

namespace mixop::kernels::cuda {

bool cublas_available() { return false; }
std::string cublas_report() { return text("cuBLAS is not in this build: ", kOwnKernelsServe); }

void cublas_gemm(const Exec&, int64_t, int64_t, int64_t, const GemmFactor&, const GemmFactor&, const GemmResult&) {
  fail(cublas_report());
}
void cublas_transpose(const Exec&, int64_t, int64_t, const float*, float*, bool) { fail(cublas_report()); }

}  // namespace mixop::kernels::cuda
