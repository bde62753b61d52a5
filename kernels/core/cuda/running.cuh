// Running statistics as kernels move them: pairs by value, for which of them there are is known when compiling a
// plan.
#pragma once

#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/norm.h"

namespace mixop::kernels::cuda {

/// running = (1 - momentum) * running + momentum * new for every pair, the variance unbiased.
struct RunningPairs {
  float *mean[kMostRunning], *var[kMostRunning];
  int pairs;
  double momentum, unbiased;

  RunningPairs(const BatchNormAttrs& a, const View* running, int64_t rows)
      : mean{}, var{}, pairs(a.running), momentum(a.momentum), unbiased(unbiased_factor(rows)) {
    for (int i = 0; i < pairs; ++i) {
      mean[i] = running[2 * i].as<float>();
      var[i] = running[2 * i + 1].as<float>();
    }
  }
  /// Towards the mean and the biased variance of channel c.
  __device__ __forceinline__ void move(int c, float new_mean, float biased) const {
    const double keep = 1 - momentum;
#pragma unroll
    for (int i = 0; i < kMostRunning; ++i) {  // unrolled: parameters have no address
      if (i >= pairs) break;
      mean[i][c] = static_cast<float>(keep * mean[i][c] + momentum * new_mean);
      var[i][c] = static_cast<float>(keep * var[i][c] + momentum * unbiased * biased);
    }
  }
};

}  // namespace mixop::kernels::cuda
