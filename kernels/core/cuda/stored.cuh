// Activations as they lie in memory: float32, or bfloat16, to which a store rounds to the nearest, of two equally
// near ones to the even. Kernels compute in float32 either way; which of the two it is, all threads of a launch
// agree on for each tensor, so that the branch costs one predicate.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/core/cuda/vec.cuh"
#include "kernels/core/tensor.h"

namespace mixop::kernels::cuda {

__device__ __forceinline__ float from_bf16(unsigned bits) { return __uint_as_float(bits << 16); }

/// Two numbers as bfloat16, the first in the lower half.
__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
#ifdef __CUDA_ARCH__
  unsigned bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#else
  const auto rounded = [](float v) {
    const unsigned u = __float_as_uint(v);
    return v != v ? 0x7FFFu : (u + 0x7FFFu + (u >> 16 & 1u)) >> 16;
  };
  return rounded(low) | rounded(high) << 16;
#endif
}

/// Elements are counted from the first; fours need a pointer and strides aligned to four elements.
struct Stored {
  void* data = nullptr;
  bool bf16 = false;

  __host__ __device__ Stored() = default;
  explicit Stored(const View& v) : data(v.data), bf16(v.dtype == DType::kBF16) {}

  explicit __host__ __device__ operator bool() const { return data != nullptr; }

  __device__ __forceinline__ float load(int64_t i) const {
    if (bf16) return from_bf16(static_cast<const uint16_t*>(data)[i]);
    return static_cast<const float*>(data)[i];
  }
  __device__ __forceinline__ float2 load2(int64_t i) const {
    if (!bf16) return *reinterpret_cast<const float2*>(static_cast<const float*>(data) + i);
    const unsigned v = *reinterpret_cast<const unsigned*>(static_cast<const uint16_t*>(data) + i);
    return make_float2(from_bf16(v & 0xFFFFu), from_bf16(v >> 16));
  }
  __device__ __forceinline__ float4 load4(int64_t i) const {
    if (!bf16) return cuda::load4(static_cast<const float*>(data) + i);
    const uint16_t* const p = static_cast<const uint16_t*>(data) + i;
    MIXOP_ASSERT_ALIGNED(p, 8);
    const uint2 v = *reinterpret_cast<const uint2*>(p);
    return make_float4(from_bf16(v.x & 0xFFFFu), from_bf16(v.x >> 16), from_bf16(v.y & 0xFFFFu),
                       from_bf16(v.y >> 16));
  }
  __device__ __forceinline__ void store(int64_t i, float v) const {
    if (bf16) static_cast<uint16_t*>(data)[i] = static_cast<uint16_t>(pack_bf16(v, 0.0f));
    else static_cast<float*>(data)[i] = v;
  }
  __device__ __forceinline__ void store4(int64_t i, float4 v) const {
    if (!bf16) return cuda::store4(static_cast<float*>(data) + i, v);
    uint16_t* const p = static_cast<uint16_t*>(data) + i;
    MIXOP_ASSERT_ALIGNED(p, 8);
    *reinterpret_cast<uint2*>(p) = make_uint2(pack_bf16(v.x, v.y), pack_bf16(v.z, v.w));
  }
  /// What is there plus v.
  __device__ __forceinline__ void add4(int64_t i, float4 v) const { store4(i, cuda::add4(load4(i), v)); }
};

/// Whether fours of channels can be read and written at a time.
inline bool in_fours(const View& v) {
  const uintptr_t bytes = v.dtype == DType::kBF16 ? 8 : 16;
  return reinterpret_cast<uintptr_t>(v.data) % bytes == 0 && v.ld % 4 == 0 && v.last() % 4 == 0;
}

}  // namespace mixop::kernels::cuda
