// The norm on load of pool_stats and pool_stats_grad on the CPU: t(x) = scale x + shift.
#pragma once

#include "kernels/core/on_load.h"
#include "kernels/ops/pool_plan.h"

namespace mixop::kernels {

inline int64_t load_floats(int64_t channels) { return 2 * PoolPlan::round_up(channels); }

/// Fills load_floats() from the operands that follow x.
inline void fold_load(const Call& call, const OnLoad& load, size_t x_at, float* constants) {
  if (!load.norm) return;
  const int64_t channels = call.in[x_at].last();
  const Loader<float> t(call, load, x_at + 1);
  float *scale = constants, *shift = scale + PoolPlan::round_up(channels);
  for (int64_t c = 0; c < channels; ++c) {
    const double factor = double{t.rstd[c]} * (t.gamma ? t.gamma[c] : 1.0f);
    scale[c] = static_cast<float>(factor);
    shift[c] = static_cast<float>((t.beta ? t.beta[c] : 0.0f) - t.mean[c] * factor);
  }
}

/// x as it is loaded, with what fold_load() has filled.
inline PoolInput loaded_input(const OnLoad& load, const View& x, const float* constants) {
  if (!load.norm) return {x};
  return {x, constants, constants + PoolPlan::round_up(x.last())};
}

}  // namespace mixop::kernels
