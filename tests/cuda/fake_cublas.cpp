// Stands in for libcublas where there is no GPU: the functions that mixop uses, in plain loops on host memory, with
// the rules that are easily broken: column-major operands, a workspace that setting the stream takes away.
#include <cublas_v2.h>

#include <cstdint>
#include <cstring>

struct cublasContext {
  bool atomics = true;
  void* workspace = nullptr;
};

namespace {

/// Element (i, j) of op(m), m column-major.
int64_t at(cublasOperation_t op, int64_t i, int64_t j, int64_t ld) {
  return op == CUBLAS_OP_N ? i + j * ld : j + i * ld;
}

/// Leading dimensions must cover the rows as stored.
bool covers(cublasOperation_t op, int64_t rows, int64_t columns, int64_t ld) {
  return ld >= (op == CUBLAS_OP_N ? rows : columns) && rows > 0 && columns > 0;
}

/// The 10 leading bits of the mantissa.
float tf32(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits &= ~uint32_t{0x1FFF};
  std::memcpy(&x, &bits, 4);
  return x;
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetProperty(libraryPropertyType type, int* value) {
  *value = type == MAJOR_VERSION ? 13 : type == MINOR_VERSION ? 1 : 0;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusString(cublasStatus_t) { return "a rule was broken"; }

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  handle->atomics = mode == CUBLAS_ATOMICS_ALLOWED;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t mode) {
  return mode == CUBLAS_DEFAULT_MATH ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t) {
  handle->workspace = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  std::memset(workspace, 0xFF, bytes);
  handle->workspace = workspace;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int64_t m,
                               int64_t n, int64_t k, const void* alpha, const void* a, cudaDataType, int64_t lda,
                               const void* b, cudaDataType, int64_t ldb, const void* beta, void* c, cudaDataType,
                               int64_t ldc, cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (handle->atomics || !handle->workspace || ldc < m) return CUBLAS_STATUS_INVALID_VALUE;
  if (!covers(op_a, m, k, lda) || !covers(op_b, k, n, ldb)) return CUBLAS_STATUS_INVALID_VALUE;
  const bool rounded = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  if (!rounded && compute != CUBLAS_COMPUTE_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto *fa = static_cast<const float*>(a), *fb = static_cast<const float*>(b);
  auto* fc = static_cast<float*>(c);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p) {
        const float u = fa[at(op_a, i, p, lda)], v = fb[at(op_b, p, j, ldb)];
        sum += rounded ? double{tf32(u)} * tf32(v) : double{u} * v;
      }
      float& to = fc[i + j * ldc];
      const float old = *static_cast<const float*>(beta) == 0 ? 0 : *static_cast<const float*>(beta) * to;
      to = static_cast<float>(*static_cast<const float*>(alpha) * sum + old);
    }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgeam_64(cublasHandle_t, cublasOperation_t op_a, cublasOperation_t op_b, int64_t m, int64_t n,
                              const float* alpha, const float* a, int64_t lda, const float* beta, const float* b,
                              int64_t ldb, float* c, int64_t ldc) {
  if (!covers(op_a, m, n, lda) || !covers(op_b, m, n, ldb) || ldc < m) return CUBLAS_STATUS_INVALID_VALUE;
  if (b == c && (op_b != CUBLAS_OP_N || ldb != ldc)) return CUBLAS_STATUS_INVALID_VALUE;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      const float old = *beta == 0 ? 0 : *beta * b[at(op_b, i, j, ldb)];
      c[i + j * ldc] = *alpha * a[at(op_a, i, j, lda)] + old;
    }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
