// The CUDA device of this process: memory, copies, one stream, captured graphs. No CUDA header is needed here; in a
// build without CUDA every call that needs a device throws one clear line (no_cuda.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mixop::kernels {

enum class Device : uint8_t { kCpu, kCuda };

namespace cuda {

struct DeviceInfo {
  int index = 0;
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  size_t memory = 0;  ///< bytes
};

/// This build has kernels for CUDA devices.
bool built();
/// "CUDA 13.0, driver 13.0", or what is missing.
std::string versions();
/// The devices of this machine; empty when there is none or no driver.
std::vector<DeviceInfo> devices();

/// Makes a device that of this process. Throws mixop::Error, one line with the remedy: no CUDA in this build, no
/// driver, a driver older than the toolkit, no GPU, no such index, a compute capability without kernels.
void select(int index);
/// The selected device; selects device 0 when none is.
const DeviceInfo& selected();
/// Bytes of device memory that are free now.
size_t free_bytes();

/// The stream (a cudaStream_t) on which everything of this process runs, in order.
void* stream();
/// Of Exec: kTickets counters on the device, all 0.
unsigned* tickets();
/// Of Exec: the device can start a kernel while the one ahead runs, the kernels of this build know how to wait for
/// it, and MIXOP_DEPENDENT_LAUNCH is not 0.
bool dependent_launches();

/// Waits until everything on the stream is done. Throws what went wrong on the device.
void synchronize();

/// Copies on the stream. upload() returns at once from pinned memory, download() when the data is there.
void upload(void* to, const void* from, size_t bytes);
void download(void* to, const void* from, size_t bytes);
/// Returns at once; `to` must be pinned, and holds the data when a later Event is done.
void download_later(void* to, const void* from, size_t bytes);
/// Sets bytes on the stream.
void fill(void* to, unsigned char value, size_t bytes);

/// A point on the stream.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record();
  /// Waits for the work before the last record(); returns at once when there was none.
  void wait() const;
  /// Seconds on the device from `start` to this; both must be done.
  double seconds_since(const Event& start) const;

 private:
  [[maybe_unused]] void* event_ = nullptr;  // unused in a build without CUDA
};

/// What a function put on the stream, to be repeated with one call.
class CapturedGraph {
 public:
  /// Runs the function once with the stream recording instead of working. The function may neither allocate nor
  /// wait.
  explicit CapturedGraph(const std::function<void()>& work);
  ~CapturedGraph();
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;
  void launch();
  size_t nodes() const { return nodes_; }

 private:
  [[maybe_unused]] void* graph_ = nullptr;  // the same
  size_t nodes_ = 0;
};

/// A named range in a profiler's time line (NVTX) while it lives.
class ProfilerRange {
 public:
  explicit ProfilerRange(const char* name);
  ~ProfilerRange();
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
};

/// Of Buffer: plain device memory and page-locked host memory. Throw mixop::Error with sizes when there is too
/// little.
void* allocate(size_t bytes);
void release(void* data) noexcept;
void* allocate_pinned(size_t bytes);
void release_pinned(void* data) noexcept;

}  // namespace cuda
}  // namespace mixop::kernels
