// A build without CUDA: the device layer says so.
#include "kernels/core/check.h"
#include "kernels/core/device.h"

namespace mixop::kernels::cuda {
namespace {
[[noreturn]] void absent() {
  fail(
      "this build has no CUDA back end: install the CUDA toolkit and build again (nvcc must be in PATH, CUDA_HOME "
      "or "
      "/usr/local/cuda), or use --device cpu");
}
}  // namespace

bool built() { return false; }
std::string versions() { return "no CUDA back end in this build"; }
std::vector<DeviceInfo> devices() { return {}; }
void select(int) { absent(); }
const DeviceInfo& selected() { absent(); }
size_t free_bytes() { absent(); }
void* stream() { absent(); }
unsigned* tickets() { absent(); }
bool dependent_launches() { absent(); }
void synchronize() { absent(); }
void upload(void*, const void*, size_t) { absent(); }
void download(void*, const void*, size_t) { absent(); }
void download_later(void*, const void*, size_t) { absent(); }
void fill(void*, unsigned char, size_t) { absent(); }
Event::Event() { absent(); }
Event::~Event() = default;
void Event::record() { absent(); }
void Event::wait() const { absent(); }
double Event::seconds_since(const Event&) const { absent(); }
CapturedGraph::CapturedGraph(const std::function<void()>&) { absent(); }
CapturedGraph::~CapturedGraph() = default;
void CapturedGraph::launch() { absent(); }
ProfilerRange::ProfilerRange(const char*) { absent(); }
ProfilerRange::~ProfilerRange() = default;
void* allocate(size_t) { absent(); }
void release(void*) noexcept {}
void* allocate_pinned(size_t) { absent(); }
void release_pinned(void*) noexcept {}

}  // namespace mixop::kernels::cuda
