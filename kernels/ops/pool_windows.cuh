// The pooled value of a window and of a strip of 3x3 windows below each other, and which cell of a window is its
// maximum; of cells as they are or normalised.
#pragma once

#include "kernels/core/cuda/loader.cuh"
#include "kernels/ops/pool_shape.cuh"

namespace mixop::kernels::cuda {

constexpr int kStrip = 4;

/// What a window accumulates: a maximum or a sum.
template <bool kMax, int kWidth>
__device__ __forceinline__ Pack<kWidth> nothing() {
  return filled<kWidth>(kMax ? -std::numeric_limits<float>::infinity() : 0.0f);
}
template <bool kMax, int kWidth>
__device__ __forceinline__ void accumulate(Pack<kWidth>& total, const Pack<kWidth>& value) {
  for (int j = 0; j < kWidth; ++j) {
    if constexpr (kMax) total[j] = beats(value[j], total[j]) ? value[j] : total[j];
    else total[j] += value[j];
  }
}
template <int kWidth>
__device__ __forceinline__ void multiply(Pack<kWidth>& p, float factor) {
  for (int j = 0; j < kWidth; ++j) p[j] *= factor;
}
template <int kWidth>
__device__ __forceinline__ void add_scaled(Pack<kWidth>& total, const Pack<kWidth>& p, float factor) {
  for (int j = 0; j < kWidth; ++j) total[j] = fmaf(p[j], factor, total[j]);
}

/// t(x) of a pack of channels, where x is not normalised.
struct AsItIs {
  template <int kWidth>
  __device__ __forceinline__ Pack<kWidth> operator()(const Pack<kWidth>& x) const {
    return x;
  }
};

/// t(x) of kWidth channels from c on, without a relu.
template <int kWidth>
struct NormOnLoad {
  Pack<kWidth> mean, scale, beta;

  __device__ __forceinline__ NormOnLoad(const DeviceLoader& load, int c)
      : mean(filled<kWidth>(0)), scale(filled<kWidth>(1)), beta(filled<kWidth>(0)) {
    for (int j = 0; j < kWidth; ++j) {
      if (load.mean) mean[j] = load.mean[c + j], scale[j] = load.rstd[c + j];
      if (load.gamma) scale[j] *= load.gamma[c + j], beta[j] = load.beta[c + j];
    }
  }
  __device__ __forceinline__ Pack<kWidth> operator()(Pack<kWidth> x) const {
    for (int j = 0; j < kWidth; ++j) x[j] = fmaf(x[j] - mean[j], scale[j], beta[j]);
    return x;
  }
};

/// The maximum or the mean of the valid cells of a window, through t; `image` points at the first channel of the
/// image's first pixel, X being float or (bfloat16) uint16_t.
template <bool kMax, int kWidth, class T = AsItIs, class X>
__device__ __forceinline__ Pack<kWidth> pool_window(const PoolShape& s, const X* image, int ld, int yo, int xo,
                                                    const T& t = {}) {
  auto total = nothing<kMax, kWidth>();
  for (int ky = 0; ky < s.v.kernel; ++ky)
    for (int kx = 0; kx < s.h.kernel; ++kx) {
      const int yi = s.v.begin(yo) + ky * s.v.dilation, xi = s.h.begin(xo) + kx * s.h.dilation;
      if (s.v.inside(yi) && s.h.inside(xi))
        accumulate<kMax>(total, t(load_pack<kWidth>(image + (yi * s.h.size + xi) * ld)));
    }
  if constexpr (!kMax) multiply(total, 1.0f / static_cast<float>(s.v.divisor(yo) * s.h.divisor(xo)));
  return total;
}

/// The same for kStrip 3x3 windows below each other, `first` the first: the 3 cells of each row of x are combined
/// once for the windows that share it. Where a cell lies outside, the nearest one is loaded: it belongs to the same
/// windows, so that a maximum may count it twice. Windows beyond the last give something.
template <bool kMax, int kStride, class T = AsItIs, class X>
__device__ __forceinline__ void pool_strip(const PoolShape& s, const X* image, int ld, int first, int xo,
                                           Pack<4> (&total)[kStrip], const T& t = {}) {
  const int xi = s.h.begin(xo), yi = s.v.begin(first);
#pragma unroll
  for (int o = 0; o < kStrip; ++o) total[o] = nothing<kMax, 4>();
#pragma unroll
  for (int i = 0; i < (kStrip - 1) * kStride + 3; ++i) {
    Pack<4> row = nothing<kMax, 4>();
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      const auto cell = t(load_pack<4>(image + (s.v.nearest(yi + i) * s.h.size + s.h.nearest(xi + k)) * ld));
      accumulate<kMax>(row, only_if(kMax || (s.v.inside(yi + i) && s.h.inside(xi + k)), cell));
    }
#pragma unroll
    for (int o = 0; o < kStrip; ++o)
      if (i >= o * kStride && i < o * kStride + 3) accumulate<kMax>(total[o], row);
  }
  if constexpr (!kMax)
#pragma unroll
    for (int o = 0; o < kStrip; ++o)
      multiply(total[o], 1.0f / static_cast<float>(s.v.divisor(first + o) * s.h.divisor(xo)));
}

/// Which tap (row-major) holds the maximum of a window, for each channel of a pack; kUnroll is the kernel's size
/// where that is known while compiling, else 1. `image` points at the first channel of the image's first pixel.
template <int kUnroll, int kWidth, class T = AsItIs, class X>
__device__ __forceinline__ void find_maximum(const PoolShape& s, const X* image, int ld, int yo, int xo,
                                             int (&taps)[kWidth], const T& t = {}) {
  auto best = filled<kWidth>(-std::numeric_limits<float>::infinity());
  for (int j = 0; j < kWidth; ++j) taps[j] = s.v.first_tap(yo) * s.h.kernel + s.h.first_tap(xo);
#pragma unroll kUnroll
  for (int ky = 0; ky < s.v.kernel; ++ky)
#pragma unroll kUnroll
    for (int kx = 0; kx < s.h.kernel; ++kx) {
      const int yi = s.v.begin(yo) + ky * s.v.dilation, xi = s.h.begin(xo) + kx * s.h.dilation;
      const bool inside = s.v.inside(yi) && s.h.inside(xi);
      const auto value = t(load_pack<kWidth>(image + (s.v.nearest(yi) * s.h.size + s.h.nearest(xi)) * ld));
      for (int j = 0; j < kWidth; ++j) {
        const bool take = inside & beats(value[j], best[j]);
        best[j] = take ? value[j] : best[j];
        taps[j] = take ? ky * s.h.kernel + kx : taps[j];
      }
    }
}

}  // namespace mixop::kernels::cuda
