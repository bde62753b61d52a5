// The device layer on the CUDA runtime, which is linked statically.
#include <cstdlib>
#include <optional>
#include <string_view>

#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/device.h"

namespace mixop::kernels::cuda {
namespace {

/// Fails on a device for which this build has no code; writes whether the code there is can wait: that made for an
/// older device cannot.
__global__ void probe(bool* can_wait) { *can_wait = MIXOP_CAN_WAIT; }

struct State {
  std::optional<DeviceInfo> device;
  cudaStream_t stream = nullptr;
  unsigned* tickets = nullptr;
  bool dependent = false;
};
State& state() {
  static State& s = *new State;  // never destroyed: static objects may own buffers that are released later
  return s;
}

/// What goes wrong in a kernel shows when the host waits for it.
void check_wait(cudaError_t error) {
  if (error == cudaSuccess) return;
  fail("CUDA: ", cudaGetErrorString(error), " (", cudaGetErrorName(error),
       ") in work on the GPU; with CUDA_LAUNCH_BLOCKING=1 the message names the kernel");
}

std::string version_text(int version) { return text(version / 1000, ".", version % 1000 / 10); }

DeviceInfo describe(int index) {
  cudaDeviceProp p{};
  MIXOP_CUDA_CHECK(cudaGetDeviceProperties(&p, index));
  return {index, p.name, p.major, p.minor, p.multiProcessorCount, p.totalGlobalMem};
}

/// Why no device can be used, or empty.
std::string problem_with(cudaError_t error, int count) {
  int driver = 0, runtime = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return "no NVIDIA driver is loaded; install it, or use --device cpu";
  if (error == cudaErrorInsufficientDriver)
    return text("the NVIDIA driver supports CUDA ", version_text(driver), ", older than CUDA ",
                version_text(runtime), " of this build; update the driver, or use --device cpu");
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    return "no NVIDIA GPU was found; use --device cpu";
  if (error != cudaSuccess)
    return text("the CUDA runtime does not start: ", cudaGetErrorString(error), "; use --device cpu");
  return "";
}

void open_device(int index) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  (void)cudaGetLastError();
  const std::string problem = problem_with(error, count);
  MIXOP_CHECK(problem.empty(), "--device cuda: ", problem);
  MIXOP_CHECK(index >= 0 && index < count, "--device cuda:", index, ": there is no such GPU; this machine has ",
              count, ", counted from 0");
  const DeviceInfo info = describe(index);
  MIXOP_CUDA_CHECK(cudaSetDevice(index));
  cudaStream_t stream = nullptr;
  MIXOP_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  Exec exec;
  exec.stream = stream;
  bool *out = nullptr, can_wait = false;
  MIXOP_CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&out), sizeof *out));
  std::string trouble;
  try {
    launch(exec, "probe", probe, dim3(1), dim3(1), 0, out);
    MIXOP_CUDA_CHECK(cudaMemcpyAsync(&can_wait, out, sizeof *out, cudaMemcpyDeviceToHost, stream));
    MIXOP_CUDA_CHECK(cudaStreamSynchronize(stream));
  } catch (const Error& e) {
    trouble = e.what();
  }
  (void)cudaFree(out);
  if (!trouble.empty()) {
    (void)cudaStreamDestroy(stream);
    fail("--device cuda: this build has no kernels for ", info.name, " (compute capability ", info.major, ".",
         info.minor, "); build on this machine or with -DCMAKE_CUDA_ARCHITECTURES=", info.major, info.minor, " (",
         trouble, ")");
  }
  unsigned* tickets = nullptr;
  MIXOP_CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&tickets), kTickets * sizeof *tickets));
  MIXOP_CUDA_CHECK(cudaMemsetAsync(tickets, 0, kTickets * sizeof *tickets, stream));
  if (state().stream) (void)cudaStreamDestroy(state().stream);
  if (state().tickets) (void)cudaFree(state().tickets);
  const char* wanted = std::getenv("MIXOP_DEPENDENT_LAUNCH");
  const bool dependent = info.major >= 9 && can_wait && (!wanted || std::string_view(wanted) != "0");
  state() = {info, stream, tickets, dependent};
}

}  // namespace

bool built() { return true; }

std::string versions() {
  int driver = 0, runtime = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  return text("CUDA ", version_text(runtime), ", ",
              driver ? text("driver for CUDA ", version_text(driver)) : std::string("no NVIDIA driver"));
}

std::vector<DeviceInfo> devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    (void)cudaGetLastError();
    return {};
  }
  std::vector<DeviceInfo> all;
  for (int i = 0; i < count; ++i) all.push_back(describe(i));
  return all;
}

void select(int index) {
  if (state().device && state().device->index == index) return;
  MIXOP_CHECK(!state().device, "--device: one GPU a process; device ", state().device ? state().device->index : 0,
              " is in use");
  open_device(index);
}

const DeviceInfo& selected() {
  if (!state().device) open_device(0);
  return *state().device;
}

size_t free_bytes() {
  selected();
  size_t free = 0, total = 0;
  MIXOP_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return free;
}

void* stream() {
  selected();
  return state().stream;
}

unsigned* tickets() {
  selected();
  return state().tickets;
}

bool dependent_launches() {
  selected();
  return state().dependent;
}

void synchronize() { check_wait(cudaStreamSynchronize(static_cast<cudaStream_t>(stream()))); }

namespace {
void copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (bytes) MIXOP_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, kind, static_cast<cudaStream_t>(stream())));
}
}  // namespace

void upload(void* to, const void* from, size_t bytes) { copy(to, from, bytes, cudaMemcpyHostToDevice); }

void download(void* to, const void* from, size_t bytes) {
  copy(to, from, bytes, cudaMemcpyDeviceToHost);
  synchronize();
}

void download_later(void* to, const void* from, size_t bytes) { copy(to, from, bytes, cudaMemcpyDeviceToHost); }

void fill(void* to, unsigned char value, size_t bytes) {
  if (bytes) MIXOP_CUDA_CHECK(cudaMemsetAsync(to, value, bytes, static_cast<cudaStream_t>(stream())));
}

Event::Event() {
  selected();
  cudaEvent_t event = nullptr;
  MIXOP_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDefault));
  event_ = event;
}
Event::~Event() { (void)cudaEventDestroy(static_cast<cudaEvent_t>(event_)); }
void Event::record() {
  MIXOP_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(event_), static_cast<cudaStream_t>(stream())));
}
void Event::wait() const { check_wait(cudaEventSynchronize(static_cast<cudaEvent_t>(event_))); }
double Event::seconds_since(const Event& start) const {
  float ms = 0;
  MIXOP_CUDA_CHECK(
      cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(start.event_), static_cast<cudaEvent_t>(event_)));
  return ms * 1e-3;
}

CapturedGraph::CapturedGraph(const std::function<void()>& work) {
  const auto s = static_cast<cudaStream_t>(stream());
  MIXOP_CUDA_CHECK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    (void)cudaStreamEndCapture(s, &graph);
    if (graph) (void)cudaGraphDestroy(graph);
    throw;
  }
  MIXOP_CUDA_CHECK(cudaStreamEndCapture(s, &graph));
  cudaGraphExec_t exec = nullptr;
  const cudaError_t counted = cudaGraphGetNodes(graph, nullptr, &nodes_);
  const cudaError_t made = cudaGraphInstantiate(&exec, graph, 0);
  (void)cudaGraphDestroy(graph);
  if (counted != cudaSuccess) fail_call("cudaGraphGetNodes", counted, __FILE__, __LINE__);
  if (made != cudaSuccess) fail_call("cudaGraphInstantiate", made, __FILE__, __LINE__);
  graph_ = exec;
}
CapturedGraph::~CapturedGraph() { (void)cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph_)); }
void CapturedGraph::launch() {
  MIXOP_CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph_), static_cast<cudaStream_t>(stream())));
}

void* allocate(size_t bytes) {
  selected();
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    fail("out of GPU memory: ", bytes >> 20, " MiB needed at once, ", free_bytes() >> 20, " MiB of ",
         selected().memory >> 20, " MiB free on ", selected().name,
         "; lower --batch or --channels, or close other programs on the GPU");
  }
  MIXOP_CUDA_CHECK(error);
  return data;
}
void release(void* data) noexcept { (void)cudaFree(data); }

void* allocate_pinned(size_t bytes) {
  selected();
  void* data = nullptr;
  const cudaError_t error = cudaMallocHost(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    fail("out of page-locked host memory: ", bytes >> 20,
         " MiB needed; raise the limit (ulimit -l) or lower --batch");
  }
  MIXOP_CUDA_CHECK(error);
  return data;
}
void release_pinned(void* data) noexcept {
  (void)cudaStreamSynchronize(state().stream);  // copies from or to it may be under way
  (void)cudaFreeHost(data);
}

}  // namespace mixop::kernels::cuda
