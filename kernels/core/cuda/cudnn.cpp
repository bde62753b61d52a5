#include "kernels/core/cuda/cudnn.h"

#include <mutex>

#include "kernels/core/check.h"
#include "kernels/core/cuda/cublas.h"
#include "kernels/core/cuda/cudnn_graph.h"

namespace mixop::kernels::cuda {
namespace {

constexpr size_t kMostPacks = 64;  // of one plan; a program's addresses are few and fixed

/// The library with its one handle and all plans of the process, made once. Lives as long as the process: at its
/// end the driver may be gone already.
struct Cudnn {
  Library library{"libcudnn.so.9"};
  CudnnApi api{library};
  cudnnHandle_t handle = nullptr;  ///< null: cannot be used
  std::string report;
  std::mutex mutex;
  std::map<CudnnConv, std::unique_ptr<CudnnPlan>> plans;  ///< null: cuDNN has none

  Cudnn() {
    if (!library.problem().empty()) {
      report =
          text("cuDNN ", library.loaded() ? library.path() + " " : "", library.problem(), ": ", kOwnKernelsServe);
      return;
    }
    const size_t version = api.version();
    const std::string name =
        text("cuDNN ", version / 10000, '.', version / 100 % 100, '.', version % 100, " (", library.path(), ")");
    const cudnnStatus_t status = api.create(&handle);
    if (status != CUDNN_STATUS_SUCCESS) handle = nullptr;
    report = handle ? name
                    : text(name, " does not work with this machine's GPU and driver (", api.error_string(status),
                           "): ", kOwnKernelsServe);
  }

  void check(cudnnStatus_t status, const char* what) const {
    if (status != CUDNN_STATUS_SUCCESS) fail("cuDNN: ", api.error_string(status), " in ", what);
  }

  CudnnPlan* plan(const CudnnConv& conv) {
    if (!handle) return nullptr;
    const auto [at, absent] = plans.try_emplace(conv);
    if (absent) at->second = make_plan(api, handle, conv);
    return at->second.get();
  }

  CudnnDescriptor& pack(CudnnPlan& plan, const CudnnPlan::Pointers& pointers) {
    if (const auto at = plan.packs.find(pointers); at != plan.packs.end()) return at->second;
    if (plan.packs.size() >= kMostPacks) plan.packs.clear();
    const std::array<int64_t, 3> ids{kCudnnX, kCudnnW, kCudnnY};
    CudnnDescriptor pack(api, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids)
        .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, pointers.data())
        .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &pointers[3])
        .finalize();
    check(pack.status(), "making a variant pack");
    return plan.packs.emplace(pointers, std::move(pack)).first->second;
  }
};

Cudnn& cudnn() {
  cublas_available();  // opened first, so that cuDNN finds it where the dynamic linker alone would not
  static Cudnn& instance = *new Cudnn;
  return instance;
}

}  // namespace

bool cudnn_available() { return cudnn().handle != nullptr; }

std::string cudnn_report() { return cudnn().report; }

std::optional<size_t> cudnn_workspace(const CudnnConv& conv) {
  Cudnn& c = cudnn();
  const std::lock_guard lock(c.mutex);
  const CudnnPlan* plan = c.plan(conv);
  if (!plan) return std::nullopt;
  return plan->workspace;
}

void cudnn_convolve(const Exec& exec, const CudnnConv& conv, float* x, float* w, float* y, std::byte* workspace) {
  Cudnn& c = cudnn();
  const std::lock_guard lock(c.mutex);
  CudnnPlan* plan = c.plan(conv);
  MIXOP_CHECK(plan, "cuDNN has no plan for this convolution: ", c.report);
  const auto aligned = [](const float* p, int64_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; };
  MIXOP_CHECK(
      aligned(x, cudnn_alignment(conv.x_ld, conv.x[3])) && aligned(y, cudnn_alignment(conv.y_ld, conv.y[3])),
      "cuDNN: an operand begins neither on 16 bytes nor where its view says");
  CudnnDescriptor& pack = c.pack(*plan, {x, w, y, workspace});
  c.check(c.api.set_stream(c.handle, static_cast<cudaStream_t>(exec.stream)), "cudnnSetStream");
  c.check(c.api.execute(c.handle, plan->execution().get(), pack.get()), "cudnnBackendExecute");
}

}  // namespace mixop::kernels::cuda
