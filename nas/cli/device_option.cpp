#include "nas/cli/device_option.h"

#include <charconv>

#include "autograd/files.h"
#include "kernels/core/device.h"

namespace mixop::cli {

namespace cuda = kernels::cuda;

kernels::Device open_device(const std::string& text) {
  if (text == "cpu") return kernels::Device::kCpu;
  int index = 0;
  const bool numbered = text.starts_with("cuda:");
  if (numbered) {
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data() + 5, last, index);
    if (error != std::errc() || end != last || index < 0) index = -1;
  }
  if ((text != "cuda" && !numbered) || index < 0)
    throw UsageError("--device: '" + text + "' is not a device; use cpu, cuda or cuda:N");
  cuda::select(index);
  return kernels::Device::kCuda;
}

std::vector<std::string> storage_names() { return {"float32", "bf16"}; }

bool stores_bf16(const std::string& storage, kernels::Device device) {
  if (storage != "bf16") return false;
  if (device == kernels::Device::kCpu) throw UsageError("--storage bf16 needs a GPU: use --device cuda");
  return true;
}

autograd::CompileOptions compile_options(const Config& config) {
  autograd::CompileOptions options;
  options.threads = static_cast<int>(config.integer("run.threads"));
  options.device = open_device(config.text("run.device"));
  options.graph = config.on("run.graph");
  options.tf32 = config.on("run.tf32");
  options.bf16 = stores_bf16(config.text("run.storage"), options.device);
  const std::string& tuning = config.text("run.tuning");
  if (!tuning.empty())
    options.tuned =
        std::make_shared<autograd::Choices>(autograd::parse_choices(autograd::read_file(tuning), tuning));
  return options;
}

void check_device_memory(const Config& config, size_t bytes) {
  if (config.text("run.device") == "cpu") return;
  const size_t free = cuda::free_bytes();
  MIXOP_CHECK(bytes <= free, "out of GPU memory: the plans need ", bytes >> 20, " MiB, ", free >> 20, " MiB of ",
              cuda::selected().memory >> 20, " MiB are free on ", cuda::selected().name,
              "; lower --batch, --channels or the number of cells, or free the GPU");
}

}  // namespace mixop::cli
