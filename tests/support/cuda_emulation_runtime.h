// What the emulated runtime API needs besides kernels: error codes, streams that capture, copies that are checked.
#pragma once

#include <memory>
#include <utility>

#include "tests/support/cuda_emulation.h"

#define MIXOP_EMULATED_ERRORS(X)                                                                            \
  X(cudaSuccess, 0, "no error")                                                                             \
  X(cudaErrorInvalidValue, 1, "invalid argument")                                                           \
  X(cudaErrorMemoryAllocation, 2, "out of memory")                                                          \
  X(cudaErrorInitializationError, 3, "initialization error")                                                \
  X(cudaErrorCudartUnloading, 4, "driver shutting down")                                                    \
  X(cudaErrorInvalidConfiguration, 9, "invalid configuration argument")                                     \
  X(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy")                               \
  X(cudaErrorInsufficientDriver, 35, "CUDA driver version is insufficient for CUDA runtime version")        \
  X(cudaErrorInvalidDeviceFunction, 98, "invalid device function")                                          \
  X(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")                                           \
  X(cudaErrorInvalidDevice, 101, "invalid device ordinal")                                                  \
  X(cudaErrorNoKernelImageForDevice, 209, "no kernel image is available for execution on the device")       \
  X(cudaErrorInvalidResourceHandle, 400, "invalid resource handle")                                         \
  X(cudaErrorIllegalState, 401, "the operation cannot be performed in the present state")                   \
  X(cudaErrorNotReady, 600, "device not ready")                                                             \
  X(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered")                               \
  X(cudaErrorLaunchFailure, 719, "unspecified launch failure")                                              \
  X(cudaErrorNotSupported, 801, "operation not supported")                                                  \
  X(cudaErrorStreamCaptureUnsupported, 900, "operation not permitted when stream is capturing")             \
  X(cudaErrorStreamCaptureInvalidated, 901, "operation failed due to a previous error during capture")      \
  X(cudaErrorStreamCaptureUnmatched, 903, "capture was not ended in the same stream as it began")           \
  X(cudaErrorStreamCaptureUnjoined, 904, "capturing stream has unjoined work")                              \
  X(cudaErrorStreamCaptureIsolation, 905, "dependency created on uncaptured work in another stream")        \
  X(cudaErrorStreamCaptureImplicit, 906,                                                                    \
    "operation would make the legacy stream depend on a capturing blocking stream")                         \
  X(cudaErrorCapturedEvent, 907, "operation not permitted on an event last recorded in a capturing stream") \
  X(cudaErrorUnknown, 999, "unknown error")

enum cudaError {
#define MIXOP_EMULATED_ERROR(name, value, text) name = value,
  MIXOP_EMULATED_ERRORS(MIXOP_EMULATED_ERROR)
#undef MIXOP_EMULATED_ERROR
};
using cudaError_t = cudaError;

inline const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define MIXOP_EMULATED_ERROR(name, value, text) \
  case name:                                    \
    return #name;
    MIXOP_EMULATED_ERRORS(MIXOP_EMULATED_ERROR)
#undef MIXOP_EMULATED_ERROR
  }
  return "unrecognized error code";
}
inline const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define MIXOP_EMULATED_ERROR(name, value, text) \
  case name:                                    \
    return text;
    MIXOP_EMULATED_ERRORS(MIXOP_EMULATED_ERROR)
#undef MIXOP_EMULATED_ERROR
  }
  return "unrecognized error code";
}

enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};

namespace mixop::emulation {
struct Graph;
}
struct CUstream_st {
  bool blocking = true;                            // waits for the legacy stream
  std::shared_ptr<mixop::emulation::Graph> graph;  // into which it is captured
  size_t captured = 0, rejoined = 0;               // its work, and how much of it another stream has waited for
};
using cudaStream_t = CUstream_st*;

namespace mixop::emulation {

/// Work that has been captured, in the order of its calls.
struct Graph {
  std::vector<std::function<void()>> nodes;
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  bool capturing = true, invalid = false;
  std::vector<cudaStream_t> joined;  // other streams that waited for an event of this capture
};

inline std::vector<std::shared_ptr<Graph>>& captures() {  // under way
  static auto& list = *new std::vector<std::shared_ptr<Graph>>;
  return list;
}

inline int device_count = 1;

/// 0 makes a machine without a device.
inline void set_devices(int count) { device_count = count; }

/// What the driver supports, as cudaDriverGetVersion() tells it; below 13000 it is too old for this runtime.
inline int driver_version = 13000;
/// False makes a device for which a build has no code.
inline bool has_code = true;

inline cudaError_t last_error = cudaSuccess;
inline cudaError_t note(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

/// For calls that synchronise or allocate: they are not permitted, and spoil every capture under way that is not
/// relaxed.
inline cudaError_t refuse_in_capture() {
  cudaError_t error = cudaSuccess;
  for (const auto& graph : captures()) {
    if (graph->mode == cudaStreamCaptureModeRelaxed) continue;
    graph->invalid = true;
    error = cudaErrorStreamCaptureUnsupported;
  }
  return note(error);
}
/// For calls that synchronise with one stream.
inline cudaError_t refuse_in_capture(cudaStream_t stream) {
  if (!stream) return refuse_in_capture();
  if (!stream->graph) return cudaSuccess;
  stream->graph->invalid = true;
  return note(cudaErrorStreamCaptureUnsupported);
}

/// Runs the work at once, or appends it to the graph into which the stream is captured.
inline cudaError_t submit(cudaStream_t stream, std::function<void()> work) {
  if (stream && stream->graph) {
    if (stream->graph->invalid) return note(cudaErrorStreamCaptureInvalidated);
    stream->graph->nodes.push_back(std::move(work));
    ++stream->captured;
    return cudaSuccess;
  }
  if (!stream) {
    for (const auto& graph : captures())
      if (graph->origin->blocking) {
        graph->invalid = true;
        return note(cudaErrorStreamCaptureImplicit);
      }
  }
  work();
  return cudaSuccess;
}

/// The graph of a capture that is over, null when there was none.
inline std::shared_ptr<Graph> end_capture(cudaStream_t stream) {
  auto graph = std::exchange(stream->graph, nullptr);
  if (graph && graph->origin == stream) {
    graph->capturing = false;
    std::erase(captures(), graph);
    for (cudaStream_t other : graph->joined) other->graph = nullptr;
    graph->joined.clear();
  }
  return graph;
}

inline cudaError_t check_launch(const LaunchShape& s) {
  const dim3 b = s.block, g = s.grid;
  const bool threads = b.x >= 1 && b.y >= 1 && b.z >= 1 && b.x <= 1024 && b.y <= 1024 && b.z <= 64 &&
                       uint64_t{b.x} * b.y * b.z <= kMaxThreads;
  const bool blocks = g.x >= 1 && g.y >= 1 && g.z >= 1 && g.x <= 0x7FFFFFFF && g.y <= 65535 && g.z <= 65535;
  if (!has_code) return cudaErrorNoKernelImageForDevice;
  if (!threads || !blocks) return cudaErrorInvalidConfiguration;
  return s.dynamic_bytes <= s.most_dynamic ? cudaSuccess : cudaErrorInvalidValue;
}

/// Device sides must lie in one device allocation, host sides must not.
inline cudaError_t check_copy(const void* to, size_t to_bytes, const void* from, size_t from_bytes,
                              cudaMemcpyKind kind) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault) return cudaSuccess;
  const bool fits = (to_device ? on_device(to, to_bytes) : !on_device(to, 1)) &&
                    (from_device ? on_device(from, from_bytes) : !on_device(from, 1));
  return note(fits ? cudaSuccess : cudaErrorInvalidValue);
}

inline cudaError_t allocate_for(void** p, size_t bytes, bool host) {
  *p = nullptr;
  if (const cudaError_t error = refuse_in_capture(); error != cudaSuccess) return error;
  if (bytes == 0) return cudaSuccess;
  *p = allocate(bytes, host);
  return note(*p ? cudaSuccess : cudaErrorMemoryAllocation);
}
inline cudaError_t release_for(void* p, bool host) {
  if (!p) return cudaSuccess;
  if (const cudaError_t error = refuse_in_capture(); error != cudaSuccess) return error;
  return note(release(p, host) ? cudaSuccess : cudaErrorInvalidValue);
}

}  // namespace mixop::emulation
