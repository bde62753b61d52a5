#include "kernels/core/cuda/cublas.h"

#include <cublas_v2.h>

#include <mutex>

#include "kernels/core/check.h"
#include "kernels/core/cuda/library.h"

namespace mixop::kernels::cuda {
namespace {

/// The functions that are used, under the names of the library's symbols.
struct CublasApi {
  decltype(cublasCreate_v2)* create = nullptr;
  decltype(cublasGetProperty)* property = nullptr;
  decltype(cublasGetStatusString)* status_string = nullptr;
  decltype(cublasSetAtomicsMode)* set_atomics_mode = nullptr;
  decltype(cublasSetMathMode)* set_math_mode = nullptr;
  decltype(cublasSetStream_v2)* set_stream = nullptr;
  decltype(cublasSetWorkspace_v2)* set_workspace = nullptr;
  decltype(cublasGemmEx_64)* gemm = nullptr;
  decltype(cublasSgeam_64)* geam = nullptr;

  explicit CublasApi(Library& library) {
    library.resolve(create, "cublasCreate_v2");
    library.resolve(property, "cublasGetProperty");
    library.resolve(status_string, "cublasGetStatusString");
    library.resolve(set_atomics_mode, "cublasSetAtomicsMode");
    library.resolve(set_math_mode, "cublasSetMathMode");
    library.resolve(set_stream, "cublasSetStream_v2");
    library.resolve(set_workspace, "cublasSetWorkspace_v2");
    library.resolve(gemm, "cublasGemmEx_64");
    library.resolve(geam, "cublasSgeam_64");
  }
};

/// The library of the major version that this was compiled with comes first: it needs no newer driver.
Library open() {
  if constexpr (CUBLAS_VER_MAJOR >= 13) return Library{"libcublas.so.13", "libcublas.so.12"};
  else return Library{"libcublas.so.12", "libcublas.so.13"};
}

/// The library with its one handle. Both live as long as the process: at its end the driver may be gone already.
struct Cublas {
  Library library = open();
  CublasApi api{library};
  cublasHandle_t handle = nullptr;  ///< null: cannot be used
  std::string report;
  std::mutex mutex;  ///< a handle's stream and workspace belong to one call at a time

  Cublas() {
    if (!library.problem().empty()) {
      report =
          text("cuBLAS ", library.loaded() ? library.path() + " " : "", library.problem(), ": ", kOwnKernelsServe);
      return;
    }
    int version[3] = {};
    for (const libraryPropertyType part : {MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL})
      api.property(part, &version[part]);
    const std::string name =
        text("cuBLAS ", version[0], '.', version[1], '.', version[2], " (", library.path(), ")");
    cublasStatus_t status = api.create(&handle);
    if (status == CUBLAS_STATUS_SUCCESS) status = api.set_atomics_mode(handle, CUBLAS_ATOMICS_NOT_ALLOWED);
    if (status == CUBLAS_STATUS_SUCCESS) status = api.set_math_mode(handle, CUBLAS_DEFAULT_MATH);
    if (status != CUBLAS_STATUS_SUCCESS) handle = nullptr;
    report = handle ? name
                    : text(name, " does not work with this machine's GPU and driver (", api.status_string(status),
                           "): ", kOwnKernelsServe);
  }

  void check(cublasStatus_t status, const char* what) const {
    if (status != CUBLAS_STATUS_SUCCESS) fail("cuBLAS: ", api.status_string(status), " in ", what);
  }
};

Cublas& cublas() {
  static Cublas instance;
  return instance;
}

}  // namespace

bool cublas_available() { return cublas().handle != nullptr; }

std::string cublas_report() { return cublas().report; }

// Row-major y = a b is column-major y' = b' a': the same memory, factors exchanged.
void cublas_gemm(const Exec& exec, int64_t m, int64_t n, int64_t k, const GemmFactor& a, const GemmFactor& b,
                 const GemmResult& y) {
  Cublas& c = cublas();
  MIXOP_CHECK(c.handle, c.report);
  const float alpha = 1, beta = y.add ? 1.0f : 0.0f;
  const auto operation = [](const GemmFactor& f) { return f.transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const cublasComputeType_t compute = exec.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const std::lock_guard lock(c.mutex);
  // Setting the stream gives the handle a workspace of its own again, so ours comes after it. With a fixed one
  // equal calls choose equal algorithms, and nothing is allocated while a graph is captured.
  c.check(c.api.set_stream(c.handle, static_cast<cudaStream_t>(exec.stream)), "cublasSetStream");
  c.check(c.api.set_workspace(c.handle, align_workspace(exec.workspace), kCublasWorkspace - kWorkspaceAlignment),
          "cublasSetWorkspace");
  c.check(c.api.gemm(c.handle, operation(b), operation(a), n, m, k, &alpha, b.data, CUDA_R_32F, b.ld, a.data,
                     CUDA_R_32F, a.ld, &beta, y.data, CUDA_R_32F, y.ld, compute, CUBLAS_GEMM_DEFAULT),
          "cublasGemmEx");
}

// Column-major, `from` is [columns,rows] and `to` is [rows,columns].
void cublas_transpose(const Exec& exec, int64_t rows, int64_t columns, const float* from, float* to, bool add) {
  Cublas& c = cublas();
  MIXOP_CHECK(c.handle, c.report);
  const float alpha = 1, beta = add ? 1.0f : 0.0f;
  const std::lock_guard lock(c.mutex);
  c.check(c.api.set_stream(c.handle, static_cast<cudaStream_t>(exec.stream)), "cublasSetStream");
  c.check(c.api.geam(c.handle, CUBLAS_OP_T, CUBLAS_OP_N, rows, columns, &alpha, from, columns, &beta, to, rows, to,
                     rows),
          "cublasSgeam");
}

}  // namespace mixop::kernels::cuda
