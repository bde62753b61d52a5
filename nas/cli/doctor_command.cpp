// mixop doctor: what this machine offers, and whether mixop can work here.
#include <fmt/format.h>
#include <hwy/highway.h>
#include <sys/sysinfo.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "datasets/open.h"
#include "kernels/core/check.h"
#include "kernels/core/cuda/cublas.h"
#include "kernels/core/cuda/cudnn.h"
#include "kernels/core/device.h"
#include "kernels/core/exec.h"
#include "nas/cli/commands.h"
#include "nas/cli/machine.h"

namespace mixop::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLeastMemory = uint64_t{1} << 30, kLeastDisk = uint64_t{100} << 20;  // bytes

struct Finding {
  std::string name, value;
  std::string problem;  ///< why mixop cannot work like this; empty: it can
};

/// What follows `key` and a colon in a file of /proc; empty when it is not there.
std::string proc_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (line.rfind(key, 0) != 0 || colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

/// The best of the instruction sets that the kernels were built for and this processor has.
std::string simd() {
  const auto usable = HWY_TARGETS & hwy::SupportedTargets();
  if (usable == 0) return "none";
  return hwy::TargetName(usable & (~usable + 1));  // better targets have lower bits
}

Finding memory() {
  struct sysinfo info {};
  uint64_t available = 0;
  if (sysinfo(&info) == 0) available = uint64_t{info.freeram + info.bufferram} * info.mem_unit;
  const std::string kb = proc_value("/proc/meminfo", "MemAvailable");
  if (!kb.empty()) available = std::stoull(kb) << 10;
  const double gib = static_cast<double>(available) / (1 << 30);
  return {"memory available", fmt::format("{:.1f} GiB", gib),
          available < kLeastMemory ? "less than 1 GiB is available; close other programs" : ""};
}

std::string huge_pages() {
  std::ifstream in("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  if (!std::getline(in, line)) return "not supported";
  const size_t begin = line.find('['), end = line.find(']');
  return begin == std::string::npos || end == std::string::npos ? line : line.substr(begin + 1, end - begin - 1);
}

Finding disk() {
  std::error_code error;
  const fs::path here = fs::current_path(error);
  const fs::space_info space = fs::space(here, error);
  if (error) return {"disk free", "unknown", ""};
  return {"disk free",
          fmt::format("{:.1f} GiB at {}", static_cast<double>(space.available) / (1 << 30), here.string()),
          space.available < kLeastDisk ? "less than 100 MiB is free; a run writes checkpoints" : ""};
}

/// Data sets that open without being told where they are.
std::string data_sets() {
  std::string found;
  for (const std::string& name : datasets::names()) {
    try {
      datasets::open_test(name);
      found += (found.empty() ? "" : ", ") + name;
    } catch (const std::exception&) {
      continue;
    }
  }
  return found + "; others need --data-root";
}

/// The GPUs and the libraries that work on them. Doing without is no problem.
void add_gpus(std::vector<Finding>& findings) {
  namespace cuda = kernels::cuda;
  findings.push_back({"CUDA", cuda::versions(), ""});
  const std::vector<cuda::DeviceInfo> devices = cuda::devices();
  for (const cuda::DeviceInfo& d : devices)
    findings.push_back({fmt::format("GPU {}", d.index),
                        fmt::format("{}, compute capability {}.{}, {} multiprocessors, {:.1f} GiB", d.name, d.major,
                                    d.minor, d.multiprocessors, static_cast<double>(d.memory) / (1 << 30)),
                        ""});
  if (!cuda::built()) return;
  try {
    cuda::select(0);
  } catch (const Error& e) {  // says why there is none, or why it cannot be used
    findings.push_back({"GPU", fmt::format("none is usable: {}", e.what()), ""});
    return;
  }
  findings.push_back({"cuBLAS", cuda::cublas_report(), ""});
  findings.push_back({"cuDNN", cuda::cudnn_report(), ""});
}

int run(bool as_json) {
  std::vector<Finding> findings = {{"processor", processor_name(), ""},
                                   {"cores", std::to_string(std::thread::hardware_concurrency()), ""},
                                   {"SIMD", simd(), ""},
                                   {"threads", std::to_string(kernels::default_threads()), ""},
                                   memory(),
                                   {"huge pages", huge_pages(), ""},
                                   disk(),
                                   {"data sets", data_sets(), ""}};
  add_gpus(findings);
  bool usable = true;
  nlohmann::ordered_json j;
  for (const Finding& f : findings) {
    usable &= f.problem.empty();
    if (as_json) {
      j[f.name] = f.value;
      continue;
    }
    fmt::print("{:<18}{}\n", f.name, f.value);
    if (!f.problem.empty()) fmt::print("{:<18}PROBLEM: {}\n", "", f.problem);
  }
  if (as_json) {
    j["problems"] = nlohmann::json::array();
    for (const Finding& f : findings)
      if (!f.problem.empty()) j["problems"].push_back(f.name + ": " + f.problem);
    fmt::print("{}\n", j.dump(2));
  } else {
    fmt::print("{}\n", usable ? "mixop can work on this machine" : "mixop cannot work well on this machine");
  }
  return usable ? kOk : kFailed;
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("doctor", "Show what this machine offers and what is missing");
  command->add_flag("--json", *as_json, "Print JSON");
  command->callback([as_json, &action] { action = [as_json] { return run(*as_json); }; });
}

}  // namespace mixop::cli
