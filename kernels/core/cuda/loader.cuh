// The transform on load (kernels/core/on_load.h) inside a kernel:
//   t(x) = relu((x - mean) * (rstd * gamma) + beta), each part optional.
#pragma once

#include <cuda_runtime.h>

#include "kernels/core/on_load.h"

namespace mixop::kernels::cuda {

/// Passed to kernels by value; null pointers switch parts off.
struct DeviceLoader {
  const float *mean = nullptr, *rstd = nullptr, *gamma = nullptr, *beta = nullptr;
  bool relu = false;

  __device__ __forceinline__ float operator()(float x, int c) const {
    if (mean) x = gamma ? (x - mean[c]) * (rstd[c] * gamma[c]) + beta[c] : (x - mean[c]) * rstd[c];
    return relu && x <= 0 ? 0.0f : x;
  }
};

/// `at` is the index of mean among the call's inputs.
inline DeviceLoader device_loader(const Call& call, const OnLoad& load, size_t at) {
  const Loader<float> host(call, load, at);
  return {host.mean, host.rstd, host.gamma, host.beta, host.relu};
}

}  // namespace mixop::kernels::cuda
