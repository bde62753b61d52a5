// What both programs need of a device.
#pragma once

#include <string>
#include <vector>

#include "autograd/plan.h"

namespace mixop::bench {

/// "cpu", "cuda" or "cuda:N"; a GPU is made that of this process. Throws mixop::Error, one line, for another word
/// and when there is no such GPU.
kernels::Device open_device(const std::string& text);

/// Puts the calls of a plan on the device's stream `times` times, without feeding and reading the plan, whose first
/// run must be over.
void run_calls(const std::vector<autograd::Plan::CallInfo>& calls, int times = 1);

}  // namespace mixop::bench
