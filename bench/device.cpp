#include "bench/device.h"

#include <charconv>

namespace mixop::bench {

kernels::Device open_device(const std::string& text) {
  if (text == "cpu") return kernels::Device::kCpu;
  int index = text == "cuda" ? 0 : -1;
  if (text.starts_with("cuda:")) {
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data() + 5, last, index);
    if (error != std::errc() || end != last) index = -1;
  }
  MIXOP_CHECK(index >= 0, "--device: '", text, "' is not a device; use cpu, cuda or cuda:N");
  kernels::cuda::select(index);
  return kernels::Device::kCuda;
}

void run_calls(const std::vector<autograd::Plan::CallInfo>& calls, int times) {
  for (int i = 0; i < times; ++i)
    for (const autograd::Plan::CallInfo& info : calls) info.chosen->run(info.call);
}

}  // namespace mixop::bench
