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

/// The four numbers whose bits x and y hold.
__device__ __forceinline__ float4 unpack_bf16(float4 raw) {
  const unsigned x = __float_as_uint(raw.x), y = __float_as_uint(raw.y);
  return make_float4(from_bf16(x & 0xFFFFu), from_bf16(x >> 16), from_bf16(y & 0xFFFFu), from_bf16(y >> 16));
}

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

/// Neighbouring elements as a load brings them, two bfloat16 to a word; zeros are zeros either way.
template <int kWidth>
struct Bits {
  unsigned v[kWidth];
};

/// Elements are counted from the first; fours need a pointer and strides aligned to four elements.
struct Stored {
  void* data = nullptr;
  bool bf16 = false;

  Stored() = default;
  explicit Stored(const View& v) : data(v.data), bf16(v.dtype == DType::kBF16) {}
  /// Of a type that is known while compiling, which then costs nothing.
  __host__ __device__ Stored(const float* p) : data(const_cast<float*>(p)) {}
  explicit __host__ __device__ Stored(const uint16_t* p) : data(const_cast<uint16_t*>(p)), bf16(true) {}

  explicit __host__ __device__ operator bool() const { return data != nullptr; }
  /// What begins at element i.
  __device__ __forceinline__ Stored from(int64_t i) const {
    Stored s = *this;
    s.data = static_cast<char*>(data) + i * (bf16 ? 2 : 4);
    return s;
  }

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
    const float4 v = raw4(i);
    return bf16 ? unpack_bf16(v) : v;
  }
  /// What load4 reads as it lies there, in bfloat16 for unpack_bf16: of many loads none waits for the one before.
  __device__ __forceinline__ float4 raw4(int64_t i) const {
    if (!bf16) return cuda::load4(static_cast<const float*>(data) + i);
    const uint16_t* const p = static_cast<const uint16_t*>(data) + i;
    MIXOP_ASSERT_ALIGNED(p, 8);
    const float2 v = *reinterpret_cast<const float2*>(p);
    return make_float4(v.x, v.y, 0, 0);
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

  /// kWidth elements, 1 or 4, and then element j of them.
  template <int kWidth>
  __device__ __forceinline__ Bits<kWidth> bits(int64_t i) const {
    static_assert(kWidth == 1 || kWidth == 4);
    if constexpr (kWidth == 4) {
      const float4 v = raw4(i);
      return {{__float_as_uint(v.x), __float_as_uint(v.y), __float_as_uint(v.z), __float_as_uint(v.w)}};
    } else {
      if (bf16) return {{static_cast<const uint16_t*>(data)[i]}};
      return {{__float_as_uint(static_cast<const float*>(data)[i])}};
    }
  }
  template <int kWidth>
  __device__ __forceinline__ float value(const Bits<kWidth>& b, int j) const {
    if (!bf16) return __uint_as_float(b.v[j]);
    return __uint_as_float(j % 2 ? b.v[j / 2] & 0xFFFF0000u : b.v[j / 2] << 16);
  }
};

/// Whether fours of elements of rows of `last` can be read and written at a time.
inline bool in_fours(const Stored& s, int64_t ld, int64_t last) {
  return reinterpret_cast<uintptr_t>(s.data) % (s.bf16 ? 8 : 16) == 0 && ld % 4 == 0 && last % 4 == 0;
}
inline bool in_fours(const View& v) { return in_fours(Stored(v), v.ld, v.last()); }

/// Calls f(pointer) with the elements as what they are, float or (bfloat16) uint16_t: a loop then asks once.
template <class F>
__device__ __forceinline__ void with_type(const Stored& s, F&& f) {
  if (s.bf16) f(static_cast<const uint16_t*>(s.data));
  else f(static_cast<const float*>(s.data));
}

}  // namespace mixop::kernels::cuda
