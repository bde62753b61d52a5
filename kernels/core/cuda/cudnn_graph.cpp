#include "kernels/core/cuda/cudnn_graph.h"

#include <algorithm>
#include <utility>

namespace mixop::kernels::cuda {
namespace {

constexpr int64_t kWorkspaceLimit = int64_t{64} << 20;

/// The attributes that differ between the three operations on a convolution.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
};

OperationNames names_of(CudnnConv::Kind kind) {
  switch (kind) {
    case CudnnConv::Kind::kDataGrad:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case CudnnConv::Kind::kWeightGrad:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
    default:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
  }
}

/// cuDNN lists extents as [N,C,H,W] (filters: [K,C,R,S]); the strides say that channels lie next to each other.
CudnnDescriptor tensor(const CudnnApi& api, CudnnTensor id, const std::array<int64_t, 4>& nhwc, int64_t ld,
                       int64_t alignment) {
  const auto [n, h, w, c] = nhwc;
  CudnnDescriptor d(api, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, int64_t{id})
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::array<int64_t, 4>{n, c, h, w})
      .set(CUDNN_ATTR_TENSOR_STRIDES, std::array<int64_t, 4>{h * w * ld, 1, w * ld, ld})
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment)
      .finalize();
  return d;
}

/// Equal inputs must give equal bits, and the error bounds of the references must hold: no reordered sums, no
/// 16-bit factors, no transform whose rounding errors exceed those of a plain sum (Winograd's smallest tile is
/// mild). An engine that compiles its kernels when a plan is made costs seconds for each shape.
bool qualifies(const CudnnApi& api, CudnnDescriptor& config, bool tf32) {
  CudnnDescriptor engine(api, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t raw = engine.get();
  config.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw);
  if (!config.ok() || !engine.ok()) return false;

  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
  const int64_t count =
      engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, notes.size(), notes.data());
  std::array<cudnnBackendBehaviorNote_t, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT> habits{};
  const int64_t habit_count =
      engine.get(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, habits.size(), habits.data());
  if (!engine.ok()) return false;

  for (const auto* note = notes.begin(); note != notes.begin() + count; ++note) {
    switch (*note) {
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
      case CUDNN_NUMERICAL_NOTE_FFT:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        return false;
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        if (!tf32) return false;
        break;
      default:
        break;
    }
  }
  return std::find(habits.begin(), habits.begin() + habit_count, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) ==
         habits.begin() + habit_count;
}

/// The engine configurations that cuDNN proposes for a graph, its favourite first.
std::vector<CudnnDescriptor> proposals(const CudnnApi& api, const CudnnDescriptor& graph,
                                       cudnnBackendHeurMode_t mode) {
  std::vector<CudnnDescriptor> configs;
  CudnnDescriptor heuristics(api, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode)
      .finalize();
  const int64_t offered = heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < offered; ++i) {
    configs.emplace_back(api, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (!configs.back().ok()) return {};
    raw.push_back(configs.back().get());
  }
  const int64_t given = raw.empty() ? 0
                                    : heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                                     offered, raw.data());
  while (static_cast<int64_t>(configs.size()) > given) configs.pop_back();
  return configs;
}

}  // namespace

CudnnApi::CudnnApi(Library& library) {
  library.resolve(version, "cudnnGetVersion");
  library.resolve(error_string, "cudnnGetErrorString");
  library.resolve(create, "cudnnCreate");
  library.resolve(set_stream, "cudnnSetStream");
  library.resolve(create_descriptor, "cudnnBackendCreateDescriptor");
  library.resolve(destroy_descriptor, "cudnnBackendDestroyDescriptor");
  library.resolve(finalize, "cudnnBackendFinalize");
  library.resolve(set_attribute, "cudnnBackendSetAttribute");
  library.resolve(get_attribute, "cudnnBackendGetAttribute");
  library.resolve(execute, "cudnnBackendExecute");
}

CudnnDescriptor::CudnnDescriptor(const CudnnApi& api, cudnnBackendDescriptorType_t type)
    : api_(&api), status_(api.create_descriptor(type, &descriptor_)) {}

CudnnDescriptor::~CudnnDescriptor() {
  if (descriptor_) api_->destroy_descriptor(descriptor_);
}

CudnnDescriptor::CudnnDescriptor(CudnnDescriptor&& other) noexcept
    : api_(other.api_), descriptor_(std::exchange(other.descriptor_, nullptr)), status_(other.status_) {}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                      int64_t count, const void* values) {
  if (ok()) status_ = api_->set_attribute(descriptor_, name, type, count, values);
  return *this;
}
CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
  return set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}
CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnHandle_t value) {
  return set(name, CUDNN_TYPE_HANDLE, 1, &value);
}
CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, int64_t value) {
  return set(name, CUDNN_TYPE_INT64, 1, &value);
}
CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, float value) {
  return set(name, CUDNN_TYPE_FLOAT, 1, &value);
}
CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
  if (ok()) status_ = value.status_;
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.descriptor_);
}

CudnnDescriptor& CudnnDescriptor::finalize() {
  if (ok()) status_ = api_->finalize(descriptor_);
  return *this;
}

int64_t CudnnDescriptor::get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t most,
                             void* values) {
  int64_t count = 0;
  if (ok()) status_ = api_->get_attribute(descriptor_, name, type, most, &count, values);
  if (!ok()) return 0;
  return values ? std::min(count, most) : count;
}

std::unique_ptr<CudnnPlan> make_plan(const CudnnApi& api, cudnnHandle_t handle, const CudnnConv& conv) {
  const OperationNames names = names_of(conv.kind);
  const int64_t c = conv.x[3], k = conv.y[3];
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const float alpha = 1, beta = conv.add ? 1.0f : 0.0f;

  auto plan = std::make_unique<CudnnPlan>();
  std::vector<CudnnDescriptor>& parts = plan->parts;
  parts.reserve(7);  // references to elements are kept below
  CudnnDescriptor& x = parts.emplace_back(tensor(api, kCudnnX, conv.x, conv.x_ld, cudnn_alignment(conv.x_ld, c)));
  CudnnDescriptor& w =
      parts.emplace_back(tensor(api, kCudnnW, {k, conv.kernel[0], conv.kernel[1], c}, c, cudnn_alignment(c, c)));
  CudnnDescriptor& y = parts.emplace_back(tensor(api, kCudnnY, conv.y, conv.y_ld, cudnn_alignment(conv.y_ld, k)));
  CudnnDescriptor& convolution = parts.emplace_back(api, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, conv.pad_begin)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, conv.pad_end)
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, conv.stride)
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, conv.dilation)
      .finalize();
  CudnnDescriptor& operation = parts.emplace_back(api, names.type);
  operation.set(names.x, x)
      .set(names.w, w)
      .set(names.y, y)
      .set(names.convolution, convolution)
      .set(names.alpha, alpha)
      .set(names.beta, beta)
      .finalize();
  CudnnDescriptor& graph = parts.emplace_back(api, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle).set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation).finalize();
  if (!graph.ok()) return nullptr;

  for (const cudnnBackendHeurMode_t heuristics : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (CudnnDescriptor& config : proposals(api, graph, heuristics)) {
      if (!qualifies(api, config, conv.tf32)) continue;
      CudnnDescriptor execution(api, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      execution.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle)
          .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config)
          .finalize();
      int64_t bytes = 0;
      execution.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes);
      if (!execution.ok() || bytes < 0 || bytes > kWorkspaceLimit) continue;
      plan->workspace = static_cast<size_t>(bytes);
      parts.push_back(std::move(config));
      parts.push_back(std::move(execution));
      return plan;
    }
  }
  return nullptr;
}

}  // namespace mixop::kernels::cuda
