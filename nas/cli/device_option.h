// --device and what follows from it: how plans are compiled, and whether they fit.
#pragma once

#include <string>

#include "autograd/plan.h"
#include "nas/cli/config.h"

namespace mixop::cli {

/// "cpu", "cuda" or "cuda:N". A GPU is made that of this process. Throws UsageError for another word, mixop::Error
/// when there is no such GPU or no driver.
kernels::Device open_device(const std::string& text);

/// From run.device, run.threads, run.graph, run.tf32 and the tuning file run.tuning.
autograd::CompileOptions compile_options(const Config& config);

/// Throws when `bytes`, which the plans are going to allocate, are more than the GPU has free: what was planned,
/// what is free and which flags lower it. Does nothing on the CPU.
void check_device_memory(const Config& config, size_t bytes);

}  // namespace mixop::cli
