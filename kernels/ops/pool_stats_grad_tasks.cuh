// What the kernels of pool_stats_grad take as an argument: the poolings and skips behind some states, and the
// gradient that arrives at a pooling, evaluated from that of the norm behind it.
#pragma once

#include "kernels/ops/pool_stats.h"
#include "kernels/ops/pool_windows.cuh"

namespace mixop::kernels::cuda {

constexpr size_t kMostGradParts = 4, kMostGradPools = 2, kMostGradTasks = 5;

/// A gradient and what multiplies it.
struct GradTerm {
  Images g;
  const float* factor = nullptr;  ///< null: 1

  __device__ __forceinline__ float weight() const { return factor ? *factor : 1.0f; }
};

/// A pool, with some of its parts: dz is a sum over them.
struct GradPool {
  PoolShape shape{PoolAttrs{}, Shape{0, 0, 0, 0}};
  GradTerm part[kMostGradParts];
  const float *s1[kMostGradParts] = {}, *s2[kMostGradParts] = {};
  Images z;
  const float *mean = nullptr, *rstd = nullptr;
  float share = 0;  ///< 1 / M
  int parts = 0;
  bool max = false;

  __device__ __forceinline__ int windows() const { return shape.v.outputs * shape.h.outputs; }
};

/// A state, with some of its pools and skips: dx is a sum over them.
struct GradTask {
  GradPool pool[kMostGradPools];
  GradTerm skip[kMostGradParts];
  DeviceLoader load;
  Images x, dx;
  int pools = 0, skips = 0;
  int images = 0, height = 0, width = 0, channels = 0;
  int tile_height = 0, tile_width = 0;  ///< of the tiled kernel
  bool add = false;

  __device__ __forceinline__ int pixels() const { return height * width; }
};

/// Task blockIdx.z is the block's; they fit the 4 KiB of arguments that every device takes.
struct GradTasks {
  GradTask task[kMostGradTasks];
};
static_assert(sizeof(GradTasks) <= 4096);

/// dz = rstd (g - s1 / M - zhat s2 / M) with g = sum a G and the sums of all parts, folded for the channels of a
/// thread, from c on.
template <int kWidth>
struct NormGradient {
  Pack<kWidth> rstd, mean, slope, constant;

  __device__ __forceinline__ NormGradient(const GradPool& p, int c)
      : rstd(load_pack<kWidth>(p.rstd + c)),
        mean(load_pack<kWidth>(p.mean + c)),
        slope(filled<kWidth>(0)),
        constant(filled<kWidth>(0)) {
#pragma unroll
    for (int i = 0; i < static_cast<int>(kMostGradParts); ++i) {
      if (i >= p.parts) break;
      const auto s1 = load_pack<kWidth>(p.s1[i] + c), s2 = load_pack<kWidth>(p.s2[i] + c);
      for (int j = 0; j < kWidth; ++j) constant[j] += s1[j], slope[j] += s2[j];
    }
    for (int j = 0; j < kWidth; ++j) {
      constant[j] *= -rstd[j] * p.share;
      slope[j] *= -rstd[j] * rstd[j] * p.share;
    }
  }
  __device__ __forceinline__ Pack<kWidth> operator()(Pack<kWidth> g, const Pack<kWidth>& z) const {
    for (int j = 0; j < kWidth; ++j) g[j] = fmaf(rstd[j], g[j], fmaf(slope[j], z[j] - mean[j], constant[j]));
    return g;
  }
};

/// dz at a window, for channels from c on; kParts is the number of parts where that is known while compiling.
template <int kParts, int kWidth>
__device__ __forceinline__ Pack<kWidth> norm_gradient(const GradPool& p, const NormGradient<kWidth>& gradient,
                                                      int n, int window, int c) {
  const int parts = kParts ? kParts : p.parts, windows = p.windows();
  const auto z = load_pack<kWidth>(p.z, p.z.at(n, windows, window) + c);
  auto g = filled<kWidth>(0);
#pragma unroll
  for (int i = 0; i < static_cast<int>(kParts ? kParts : kMostGradParts); ++i) {
    if (i >= parts) break;
    const GradTerm& part = p.part[i];
    add_scaled(g, load_pack<kWidth>(part.g, part.g.at(n, windows, window) + c), part.weight());
  }
  return gradient(g, z);
}

/// Adds the skips at a pixel.
template <int kWidth>
__device__ __forceinline__ void add_skips(const GradTask& t, int n, int pixel, int c, Pack<kWidth>& total) {
#pragma unroll
  for (int i = 0; i < static_cast<int>(kMostGradParts); ++i) {
    if (i >= t.skips) break;
    const GradTerm& skip = t.skip[i];
    add_scaled(total, load_pack<kWidth>(skip.g, skip.g.at(n, t.pixels(), pixel) + c), skip.weight());
  }
}

}  // namespace mixop::kernels::cuda
