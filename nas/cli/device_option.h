// --device and what follows from it: how plans are compiled, and whether they fit.
#pragma once

#include <string>
#include <vector>

#include "autograd/plan.h"
#include "nas/cli/config.h"

namespace mixop::cli {

/// "cpu", "cuda" or "cuda:N". A GPU is made that of this process. Throws UsageError for another word, mixop::Error
/// when there is no such GPU or no driver.
kernels::Device open_device(const std::string& text);

/// How --storage names the two forms: float32, bf16.
std::vector<std::string> storage_names();
/// Whether activations are stored as bfloat16. Throws UsageError when the device has no such form.
bool stores_bf16(const std::string& storage, kernels::Device device);

/// From run.device, run.threads, run.graph, run.tf32, run.storage and the tuning file run.tuning.
autograd::CompileOptions compile_options(const Config& config);

/// Throws when `bytes`, which the plans are going to allocate, are more than the GPU has free: what was planned,
/// what is free and which flags lower it. Does nothing on the CPU.
void check_device_memory(const Config& config, size_t bytes);

}  // namespace mixop::cli
