// The gradient that arrives at a pooling: as it lies in memory.
#pragma once

#include "kernels/ops/pool_shape.cuh"

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

}  // namespace mixop::kernels::cuda
