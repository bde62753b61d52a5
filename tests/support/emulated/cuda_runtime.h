// The part of the CUDA runtime API that mixop uses, for a device that is emulated on the CPU: device memory is host
// memory and every operation has completed when the call returns, except while a stream is captured into a graph.
#pragma once

#include <chrono>

#include "tests/support/cuda_emulation.h"
#include "tests/support/cuda_emulation_runtime.h"

// ---- launches -----------------------------------------------------------------------------------

enum cudaLaunchAttributeID {
  cudaLaunchAttributeIgnore = 0,
  cudaLaunchAttributeProgrammaticStreamSerialization = 6
};
union cudaLaunchAttributeValue {
  char pad[64];
  int programmaticStreamSerializationAllowed;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
  namespace emulation = mixop::emulation;
  const char* name = emulation::noted ? emulation::noted : "(without a name)";
  emulation::noted = nullptr;
  emulation::LaunchShape shape{config->gridDim, config->blockDim, config->dynamicSmemBytes,
                               emulation::most_dynamic(reinterpret_cast<void (*)()>(kernel)), false};
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& a = config->attrs[i];
    if (a.id != cudaLaunchAttributeProgrammaticStreamSerialization) return emulation::note(cudaErrorNotSupported);
    shape.dependent = a.val.programmaticStreamSerializationAllowed != 0;
  }
  if (const cudaError_t error = emulation::check_launch(shape); error != cudaSuccess) return emulation::note(error);
  return emulation::submit(config->stream, [=, values = std::tuple<P...>(std::forward<A>(arguments)...)] {
    auto bound = std::make_pair(kernel, &values);
    emulation::run(
        name, shape,
        [](void* p) {
          const auto& [function, tuple] = *static_cast<decltype(bound)*>(p);
          std::apply(function, *tuple);
        },
        &bound);
  });
}

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
template <class... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute, int bytes) {
  namespace emulation = mixop::emulation;
  if (bytes < 0 || static_cast<size_t>(bytes) > emulation::kSharedOptIn)
    return emulation::note(cudaErrorInvalidValue);
  emulation::opted_in()[reinterpret_cast<void (*)()>(kernel)] = static_cast<size_t>(bytes);
  return cudaSuccess;
}

// ---- errors and devices -------------------------------------------------------------------------

inline cudaError_t cudaGetLastError() { return std::exchange(mixop::emulation::last_error, cudaSuccess); }
inline cudaError_t cudaPeekAtLastError() { return mixop::emulation::last_error; }

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerMultiprocessor, sharedMemPerBlockOptin;
  int major, minor, multiProcessorCount, warpSize, maxThreadsPerBlock, maxThreadsPerMultiProcessor;
  int maxThreadsDim[3], maxGridSize[3];
  int regsPerBlock, l2CacheSize, memoryBusWidth, integrated;
};

inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = mixop::emulation::device_count;
  if (mixop::emulation::driver_version < 13000) return mixop::emulation::note(cudaErrorInsufficientDriver);
  return mixop::emulation::note(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
inline cudaError_t cudaSetDevice(int device) {
  if (mixop::emulation::device_count == 0) return mixop::emulation::note(cudaErrorNoDevice);
  return mixop::emulation::note(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSetDevice(0);
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (const cudaError_t error = cudaSetDevice(device); error != cudaSuccess) return error;
  *properties = {
      "emulated",       mixop::emulation::memory().limit, 48 << 10, 100 << 10, 99 << 10, 9, 0, 4, 32, 1024, 2048,
      {1024, 1024, 64}, {2147483647, 65535, 65535},       65536,    4 << 20,   64,       1};
  return cudaSuccess;
}

enum cudaDeviceAttr {
  cudaDevAttrMaxThreadsPerBlock = 1,
  cudaDevAttrMaxSharedMemoryPerBlock = 8,
  cudaDevAttrWarpSize = 10,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (const cudaError_t error = cudaGetDeviceProperties(&p, device); error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(p.sharedMemPerBlock);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    default:
      return mixop::emulation::note(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int* version) {
  return *version = mixop::emulation::driver_version, cudaSuccess;
}
inline cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() { return mixop::emulation::refuse_in_capture(); }

// ---- memory -------------------------------------------------------------------------------------

inline cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const auto& m = mixop::emulation::memory();
  *total = m.limit;
  *free = m.limit - std::min(m.limit, m.used);
  return cudaSuccess;
}
inline cudaError_t cudaMalloc(void** p, size_t bytes) { return mixop::emulation::allocate_for(p, bytes, false); }
inline cudaError_t cudaMallocHost(void** p, size_t bytes, unsigned = 0) {
  return mixop::emulation::allocate_for(p, bytes, true);
}
inline cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  return mixop::emulation::allocate_for(p, bytes, true);
}
template <class T>
cudaError_t cudaMalloc(T** p, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(p), bytes);
}
template <class T>
cudaError_t cudaMallocHost(T** p, size_t bytes, unsigned flags = 0) {
  return cudaMallocHost(reinterpret_cast<void**>(p), bytes, flags);
}
template <class T>
cudaError_t cudaHostAlloc(T** p, size_t bytes, unsigned flags) {
  return cudaHostAlloc(reinterpret_cast<void**>(p), bytes, flags);
}
inline cudaError_t cudaFree(void* p) { return mixop::emulation::release_for(p, false); }
inline cudaError_t cudaFreeHost(void* p) { return mixop::emulation::release_for(p, true); }

constexpr unsigned cudaHostAllocDefault = 0, cudaHostAllocPortable = 1, cudaHostAllocMapped = 2,
                   cudaHostAllocWriteCombined = 4;

inline cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                                     size_t height, cudaMemcpyKind kind, cudaStream_t stream = nullptr) {
  if (width == 0 || height == 0) return cudaSuccess;
  if (width > to_pitch || width > from_pitch) return mixop::emulation::note(cudaErrorInvalidValue);
  if (const cudaError_t error = mixop::emulation::check_copy(to, (height - 1) * to_pitch + width, from,
                                                             (height - 1) * from_pitch + width, kind);
      error != cudaSuccess)
    return error;
  return mixop::emulation::submit(stream, [=] {
    for (size_t row = 0; row < height; ++row)
      std::memcpy(static_cast<std::byte*>(to) + row * to_pitch,
                  static_cast<const std::byte*>(from) + row * from_pitch, width);
  });
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream = nullptr) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t error = mixop::emulation::refuse_in_capture(); error != cudaSuccess) return error;
  return cudaMemcpyAsync(to, from, bytes, kind);
}
inline cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                                size_t height, cudaMemcpyKind kind) {
  if (const cudaError_t error = mixop::emulation::refuse_in_capture(); error != cudaSuccess) return error;
  return cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind);
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream = nullptr) {
  if (bytes == 0) return cudaSuccess;
  if (!mixop::emulation::on_device(to, bytes)) return mixop::emulation::note(cudaErrorInvalidValue);
  return mixop::emulation::submit(stream, [=] { std::memset(to, value, bytes); });
}
inline cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  if (const cudaError_t error = mixop::emulation::refuse_in_capture(); error != cudaSuccess) return error;
  return cudaMemsetAsync(to, value, bytes);
}

// ---- streams and events -------------------------------------------------------------------------

constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1;
constexpr unsigned cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2;

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = new CUstream_st;
  (*stream)->blocking = (flags & cudaStreamNonBlocking) == 0;
  return cudaSuccess;
}
inline cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream) return mixop::emulation::note(cudaErrorInvalidResourceHandle);
  if (const auto graph = mixop::emulation::end_capture(stream)) std::erase(graph->joined, stream);
  delete stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return mixop::emulation::refuse_in_capture(stream);
}
inline cudaError_t cudaStreamQuery(cudaStream_t stream) { return mixop::emulation::refuse_in_capture(stream); }

struct CUevent_st {
  std::chrono::steady_clock::time_point when{};
  bool recorded = false, timed = true;
  std::shared_ptr<mixop::emulation::Graph> graph;  // of the captured stream on which it was recorded
  cudaStream_t stream = nullptr;                   // that one, and how far it was
  size_t captured = 0;
};
using cudaEvent_t = CUevent_st*;

inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}
inline cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
inline cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr) {
  event->graph = stream ? stream->graph : nullptr;
  event->stream = event->graph ? stream : nullptr;
  event->captured = event->graph ? stream->captured : 0;
  event->recorded = true;
  event->when = std::chrono::steady_clock::now();
  return cudaSuccess;
}
inline cudaError_t cudaEventQuery(cudaEvent_t event) {
  return mixop::emulation::note(event->graph ? cudaErrorCapturedEvent : cudaSuccess);
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) { return cudaEventQuery(event); }
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->recorded || !end->recorded || !start->timed || !end->timed)
    return mixop::emulation::note(cudaErrorInvalidResourceHandle);
  *milliseconds = std::chrono::duration<float, std::milli>(end->when - start->when).count();
  return cudaSuccess;
}
/// A stream that waits for an event of a captured stream joins the capture.
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned = 0) {
  if (!event->graph || !event->graph->capturing || stream == event->stream) return cudaSuccess;
  if (!stream || (stream->graph && stream->graph != event->graph))
    return mixop::emulation::note(cudaErrorStreamCaptureIsolation);
  event->stream->rejoined = std::max(event->stream->rejoined, event->captured);
  if (stream->graph) return cudaSuccess;
  stream->graph = event->graph;
  stream->captured = 1;  // even when it stays idle it must be waited for
  stream->rejoined = 0;
  event->graph->joined.push_back(stream);
  return cudaSuccess;
}

// ---- graphs -------------------------------------------------------------------------------------

enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone,
  cudaStreamCaptureStatusActive,
  cudaStreamCaptureStatusInvalidated
};
struct CUgraph_st {
  std::shared_ptr<mixop::emulation::Graph> graph;
};
struct CUgraphExec_st {
  std::shared_ptr<mixop::emulation::Graph> graph;
};
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;
using cudaGraphNode_t = struct CUgraphNode_st*;

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (!stream) return mixop::emulation::note(cudaErrorStreamCaptureUnsupported);
  if (stream->graph) return mixop::emulation::note(cudaErrorIllegalState);
  stream->graph = std::make_shared<mixop::emulation::Graph>();
  stream->graph->origin = stream;
  stream->graph->mode = mode;
  mixop::emulation::captures().push_back(stream->graph);
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!stream || !stream->graph) return mixop::emulation::note(cudaErrorIllegalState);
  if (stream->graph->origin != stream) return mixop::emulation::note(cudaErrorStreamCaptureUnmatched);
  bool joined = true;
  for (const CUstream_st* other : stream->graph->joined) joined = joined && other->rejoined >= other->captured;
  const auto captured = mixop::emulation::end_capture(stream);
  if (!joined) return mixop::emulation::note(cudaErrorStreamCaptureUnjoined);
  if (captured->invalid) return mixop::emulation::note(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st{captured};
  return cudaSuccess;
}
inline cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  if (!stream || !stream->graph) *status = cudaStreamCaptureStatusNone;
  else *status = stream->graph->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long = 0) {
  if (!graph) return mixop::emulation::note(cudaErrorInvalidValue);
  *exec = new CUgraphExec_st{graph->graph};
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (!exec) return mixop::emulation::note(cudaErrorInvalidValue);
  return mixop::emulation::submit(stream, [graph = exec->graph] {
    for (const auto& node : graph->nodes) node();
  });
}
/// Only the number of nodes can be asked for.
inline cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  if (nodes) return mixop::emulation::note(cudaErrorNotSupported);
  *count = graph->graph->nodes.size();
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }
