// The gradient that arrives at a pooling: as it lies in memory, or evaluated from that of the norm behind it.
#pragma once

#include "kernels/ops/pool_shape.cuh"
#include "kernels/ops/pool_stats.h"

namespace mixop::kernels::cuda {

/// dz is an operand.
struct PlainGradient {
  const float* dz;
  int ld, pixels;  ///< of an image

  explicit PlainGradient(const View& dz)
      : dz(dz.as<float>()), ld(image_ld(dz)), pixels(static_cast<int>(dz.shape[1] * dz.shape[2])) {}

  template <int kWidth>
  struct Channels {
    const float* dz;
    int ld, pixels;
    __device__ __forceinline__ Pack<kWidth> load(int n, int pixel) const {
      return load_pack<kWidth>(image_of(dz, n, pixels, ld) + pixel * ld);
    }
  };
  /// What a thread needs for kWidth channels from c on.
  template <int kWidth>
  __device__ __forceinline__ Channels<kWidth> channels(int c) const {
    return {dz + c, ld, pixels};
  }
};

/// dz = A dy + B z + D as in pool_stats.h.
struct NormGradient {
  const float *dy, *z, *mean, *rstd, *s1, *s2, *scale;  ///< scale: the element of the table, or null
  int lddy, ldz, pixels;
  float rows;

  explicit NormGradient(const Call& call)
      : dy(call.in[0].as<float>()),
        z(call.in[1].as<float>()),
        mean(call.in[2].as<float>()),
        rstd(call.in[3].as<float>()),
        s1(call.in[4].as<float>()),
        s2(call.in[5].as<float>()),
        scale(nullptr),
        lddy(image_ld(call.in[0])),
        ldz(image_ld(call.in[1])),
        pixels(static_cast<int>(call.in[1].shape[1] * call.in[1].shape[2])),
        rows(static_cast<float>(call.in[1].rows())) {
    const auto& norm = call.attr<PoolStatsGradAttrs>().norm;
    if (norm.scaled) scale = &flat_element<float>(call.in[6], norm.scale_index);
  }

  template <int kWidth>
  struct Channels {
    const float *dy, *z;
    int lddy, ldz, pixels;
    Pack<kWidth> a, b, d;
    __device__ __forceinline__ Pack<kWidth> load(int n, int pixel) const {
      auto g = load_pack<kWidth>(image_of(dy, n, pixels, lddy) + pixel * lddy);
      const auto v = load_pack<kWidth>(image_of(z, n, pixels, ldz) + pixel * ldz);
      for (int j = 0; j < kWidth; ++j) g[j] = fmaf(a[j], g[j], fmaf(b[j], v[j], d[j]));
      return g;
    }
  };
  template <int kWidth>
  __device__ __forceinline__ Channels<kWidth> channels(int c) const {
    Channels<kWidth> k{dy + c, z + c, lddy, ldz, pixels, {}, {}, {}};
    const float w = scale ? *scale : 1.0f;
    for (int j = 0; j < kWidth; ++j) {
      const float r = rstd[c + j], k2 = r * r * (s2[c + j] / rows);
      k.a[j] = w * r;
      k.b[j] = -k2;
      k.d[j] = fmaf(k2, mean[c + j], -r * (s1[c + j] / rows));
    }
    return k;
  }
};

}  // namespace mixop::kernels::cuda
