// Products of small matrices by a whole warp. On devices with tensor cores one instruction; elsewhere, and under
// emulation, the same layout by exchanging values between lanes.
#pragma once

#include <cuda_runtime.h>

namespace mixop::kernels::cuda {

/// The nearest TF32 number (10 bits of fraction), ties away from 0.
__device__ __forceinline__ float to_tf32(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return __uint_as_float(bits);
#else
  const unsigned bits = __float_as_uint(x);
  return (bits >> 23 & 0xFF) == 0xFF ? x : __uint_as_float((bits + 0x1000) & ~0x1FFFu);
#endif
}

/// d [16,8] += a [16,8] b [8,8], factors in TF32. With g = lane / 4 and t = lane % 4 a lane holds
///   a[g][t], a[g + 8][t], a[g][t + 4], a[g + 8][t + 4];   b[t][g], b[t + 4][g];
///   d[g][2t], d[g][2t + 1], d[g + 8][2t], d[g + 8][2t + 1]
/// (PTX ISA, mma.m16n8k8 with .tf32). All 32 lanes must call.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
        "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#else
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  for (int k = 0; k < 8; ++k) {
    const float top = __shfl_sync(0xFFFFFFFFu, k < 4 ? a[0] : a[2], 4 * g + k % 4);
    const float bottom = __shfl_sync(0xFFFFFFFFu, k < 4 ? a[1] : a[3], 4 * g + k % 4);
    for (int j = 0; j < 2; ++j) {
      const float column = __shfl_sync(0xFFFFFFFFu, k < 4 ? b[0] : b[1], 4 * (2 * t + j) + k % 4);
      d[j] = fmaf(top, column, d[j]);
      d[2 + j] = fmaf(bottom, column, d[2 + j]);
    }
  }
#endif
}

}  // namespace mixop::kernels::cuda
