// Accesses of 16 bytes. Pointers and indices must be aligned to 4 floats; the emulator checks that.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#ifndef MIXOP_ASSERT_ALIGNED
#define MIXOP_ASSERT_ALIGNED(pointer, bytes)
#endif

namespace mixop::kernels::cuda {

__device__ __forceinline__ float4 load4(const float* p) {
  MIXOP_ASSERT_ALIGNED(p, 16);
  return *reinterpret_cast<const float4*>(p);
}
__device__ __forceinline__ void store4(float* p, float4 v) {
  MIXOP_ASSERT_ALIGNED(p, 16);
  *reinterpret_cast<float4*>(p) = v;
}

/// a + b * c for each component; one rounding, as __fmaf_rn.
__device__ __forceinline__ float4 fma4(float4 a, float4 b, float4 c) {
  return make_float4(fmaf(b.x, c.x, a.x), fmaf(b.y, c.y, a.y), fmaf(b.z, c.z, a.z), fmaf(b.w, c.w, a.w));
}
__device__ __forceinline__ float4 fma4(float4 a, float4 b, float c) { return fma4(a, b, make_float4(c, c, c, c)); }
__device__ __forceinline__ float4 add4(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

/// True when rows of this many floats from this address on can be read 4 at a time.
inline bool aligned4(const void* data, int64_t ld, int64_t last) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && ld % 4 == 0 && last % 4 == 0;
}

}  // namespace mixop::kernels::cuda
