// Global average pooling.
//   global_avg_pool       x [N, H, W, C] -> y [N, C], the mean over H and W
//   global_avg_pool_grad  dy [N, C] -> dx [N, H, W, C] (accumulates)
#pragma once

#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

struct GlobalAvgPoolGradAttrs {
  Shape x;
};

std::span<const Impl> global_avg_pool_cpu();
std::span<const Impl> global_avg_pool_cuda();
std::span<const Impl> global_avg_pool_grad_cpu();
std::span<const Impl> global_avg_pool_grad_cuda();

}  // namespace mixop::kernels
