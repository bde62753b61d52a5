// What results say about where and when they were made.
#pragma once

#include <string>

#include "kernels/core/device.h"

namespace mixop::cli {

/// The model of the processor, or "unknown".
std::string processor_name();
/// That, or the name of the GPU of this process.
std::string device_name(kernels::Device device);
/// "2026-01-31T12:00:00Z".
std::string utc_now();

}  // namespace mixop::cli
