// The product that both kernels of the way back share: dY = dz w_pw^T from dz in shared memory.
#pragma once

#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/mma.cuh"
#include "kernels/core/cuda/shared.cuh"
#include "kernels/ops/separable_grad_units.cuh"

namespace mixop::kernels {

/// sum[h][i] += dY of pixel lane / 4 + 8 i and the channels from channel + 16 h + lane % 4 * 4 on, from `depth`
/// channels of dz, of which `dz_at` is the first, k0, of the lane's first pixel. Nothing for channels that do not
/// exist. All lanes of a warp must call.
template <bool kTf32, int kSixteens, class S>
__device__ __forceinline__ void multiply_back(S shared, int dz_at, int pitch, const SeparableGradArgs& u,
                                              int channel, int k0, int depth, float4 (&sum)[kSixteens][2]) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp, g = lane / 4, t = lane % 4;
  if constexpr (kTf32) {
    // Of two tiles of 8 columns, tile n has the channels 4 t + 2 n and 4 t + 2 n + 1: that leaves 4 neighbours to a
    // lane.
#pragma unroll 1  // registers are short
    for (int j = 0; j < depth; j += 8) {
      const bool both = j + 4 < depth;  // fours of channels
      const int top = dz_at + j + t, bottom = top + 8 * pitch;
      const float a[4] = {cuda::to_tf32(shared[top]), cuda::to_tf32(shared[bottom]),
                          both ? cuda::to_tf32(shared[top + 4]) : 0.0f,
                          both ? cuda::to_tf32(shared[bottom + 4]) : 0.0f};
#pragma unroll
      for (int h = 0; h < kSixteens; ++h) {
        float d[2][4] = {{sum[h][0].x, sum[h][0].y, sum[h][1].x, sum[h][1].y},
                         {sum[h][0].z, sum[h][0].w, sum[h][1].z, sum[h][1].w}};
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          const int c = channel + 16 * h + 4 * (g / 2) + g % 2 + 2 * n;
          const float* const w = u.w_pw + int64_t{c} * u.k + k0 + j + t;
          // Rounded apart from the condition: else each load waits for the one before.
          const float w0 = c < u.channels ? w[0] : 0.0f, w4 = c < u.channels && both ? w[4] : 0.0f;
          const float b[2] = {cuda::to_tf32(w0), cuda::to_tf32(w4)};
          cuda::mma_tf32(d[n], a, b);
        }
        sum[h][0] = make_float4(d[0][0], d[0][1], d[1][0], d[1][1]);
        sum[h][1] = make_float4(d[0][2], d[0][3], d[1][2], d[1][3]);
      }
    }
  } else {
#pragma unroll 1  // likewise
    for (int j = 0; j < depth; j += 4) {
      const float4 d[2] = {cuda::load4(shared, dz_at + j), cuda::load4(shared, dz_at + 8 * pitch + j)};
#pragma unroll
      for (int h = 0; h < kSixteens; ++h) {
        const int c = channel + 16 * h + 4 * t;
        if (c >= u.channels) continue;
        const float* const w = u.w_pw + int64_t{c} * u.k + k0 + j;
        const float4 w0 = cuda::load4(w), w1 = cuda::load4(w + u.k);
        const float4 w2 = cuda::load4(w + 2 * u.k), w3 = cuda::load4(w + 3 * u.k);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          sum[h][i] = cuda::fma4(sum[h][i], make_float4(w0.x, w1.x, w2.x, w3.x), d[i].x);
          sum[h][i] = cuda::fma4(sum[h][i], make_float4(w0.y, w1.y, w2.y, w3.y), d[i].y);
          sum[h][i] = cuda::fma4(sum[h][i], make_float4(w0.z, w1.z, w2.z, w3.z), d[i].z);
          sum[h][i] = cuda::fma4(sum[h][i], make_float4(w0.w, w1.w, w2.w, w3.w), d[i].w);
        }
      }
    }
  }
}

}  // namespace mixop::kernels
