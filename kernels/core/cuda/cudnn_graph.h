// Plans of cuDNN's graph interface: descriptors with attributes, engines and their notes.
#pragma once

#include <cudnn_graph.h>

#include <map>
#include <memory>
#include <vector>

#include "kernels/core/cuda/cudnn.h"
#include "kernels/core/cuda/library.h"

namespace mixop::kernels::cuda {

/// The functions that are used.
struct CudnnApi {
  decltype(cudnnGetVersion)* version = nullptr;
  decltype(cudnnGetErrorString)* error_string = nullptr;
  decltype(cudnnCreate)* create = nullptr;
  decltype(cudnnSetStream)* set_stream = nullptr;
  decltype(cudnnBackendCreateDescriptor)* create_descriptor = nullptr;
  decltype(cudnnBackendDestroyDescriptor)* destroy_descriptor = nullptr;
  decltype(cudnnBackendFinalize)* finalize = nullptr;
  decltype(cudnnBackendSetAttribute)* set_attribute = nullptr;
  decltype(cudnnBackendGetAttribute)* get_attribute = nullptr;
  decltype(cudnnBackendExecute)* execute = nullptr;

  explicit CudnnApi(Library& library);
};

/// A descriptor of the graph interface. The first call that fails leaves its status; later ones then do nothing.
class CudnnDescriptor {
 public:
  CudnnDescriptor(const CudnnApi& api, cudnnBackendDescriptorType_t type);
  ~CudnnDescriptor();
  CudnnDescriptor(CudnnDescriptor&& other) noexcept;
  CudnnDescriptor& operator=(CudnnDescriptor&&) = delete;

  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                       const void* values);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnDataType_t value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnHandle_t value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, int64_t value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, float value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value);
  template <size_t n>
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, const std::array<int64_t, n>& values) {
    return set(name, CUDNN_TYPE_INT64, n, values.data());
  }
  CudnnDescriptor& finalize();

  /// How many values there are, after writing at most `most` of them.
  int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t most, void* values);

  bool ok() const { return status_ == CUDNN_STATUS_SUCCESS; }
  cudnnStatus_t status() const { return status_; }
  cudnnBackendDescriptor_t get() const { return descriptor_; }

 private:
  const CudnnApi* api_;
  cudnnBackendDescriptor_t descriptor_ = nullptr;
  cudnnStatus_t status_;
};

/// Names of the tensors within a plan.
enum CudnnTensor : int64_t { kCudnnX = 1, kCudnnW = 2, kCudnnY = 3 };

/// A convolution that is ready to run, with everything it is made of.
struct CudnnPlan {
  using Pointers = std::array<void*, 4>;  // x, w, y, workspace

  std::vector<CudnnDescriptor> parts;         ///< the execution plan is the last
  size_t workspace = 0;                       ///< bytes
  std::map<Pointers, CudnnDescriptor> packs;  ///< variant packs, by what they point to

  CudnnDescriptor& execution() { return parts.back(); }
};

/// The bytes on which an operand is promised to begin. Whole tensors begin on 64; where a slice of channels begins
/// is not known before memory is laid out.
constexpr int64_t cudnn_alignment(int64_t ld, int64_t channels) { return ld == channels ? 16 : 4; }

/// Asks cuDNN's heuristics for engines and takes the first that qualifies (cudnn_workspace() says when); null when
/// there is none.
std::unique_ptr<CudnnPlan> make_plan(const CudnnApi& api, cudnnHandle_t handle, const CudnnConv& conv);

}  // namespace mixop::kernels::cuda
