#include "nas/cli/machine.h"

#include <ctime>
#include <fstream>

namespace mixop::cli {

std::string processor_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string device_name(kernels::Device device) {
  return device == kernels::Device::kCpu ? processor_name() : kernels::cuda::selected().name;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  return text;
}

}  // namespace mixop::cli
