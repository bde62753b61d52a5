// What the product kernels of the convolutions share: which input pixel a filter element shows an output pixel, and
// four channels of a pixel at a time.
#pragma once

#include <algorithm>

#include "kernels/core/cuda/loader.cuh"
#include "kernels/core/cuda/vec.cuh"
#include "kernels/ops/conv2d_gather.h"

namespace mixop::kernels::cuda {

/// One axis of a gather: output position first + i * out_step, 0 <= i < count, reads input position
/// i * in_step + offset + t * offset_step through filter element filter + t * filter_step, 0 <= t < taps.
struct TapAxis {
  int in, out;
  int first, out_step, count, in_step;
  int taps, offset, offset_step, filter, filter_step;
};

inline TapAxis tap_axis(const Axis& a) {
  const auto step = [&](const auto& of) { return a.taps > 1 ? of[1] - of[0] : 0; };
  const auto at0 = [&](const auto& of) { return a.taps > 0 ? of[0] : 0; };
  return {static_cast<int>(a.in),
          static_cast<int>(a.out),
          static_cast<int>(a.first),
          static_cast<int>(a.out_step),
          static_cast<int>(a.count),
          static_cast<int>(a.in_step),
          a.taps,
          at0(a.offset),
          step(a.offset),
          at0(a.filter),
          step(a.filter)};
}

/// p[0..3] of which the first n are there, 0 for the others. Wide: p is aligned and n a multiple of 4.
__device__ __forceinline__ float4 load_some(const float* p, int n, bool wide) {
  if (wide) return n > 0 ? load4(p) : float4{0, 0, 0, 0};
  return {n > 0 ? p[0] : 0, n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, n > 3 ? p[3] : 0};
}
__device__ __forceinline__ void store_some(float* p, float4 v, int n, bool wide) {
  if (wide) {
    if (n > 0) store4(p, v);
    return;
  }
  if (n > 0) p[0] = v.x;
  if (n > 1) p[1] = v.y;
  if (n > 2) p[2] = v.z;
  if (n > 3) p[3] = v.w;
}

template <class S>
__device__ __forceinline__ float4 read4(S shared, int i) {
  return {shared[i], shared[i + 1], shared[i + 2], shared[i + 3]};
}
template <class S>
__device__ __forceinline__ void write4(S shared, int i, float4 v) {
  shared[i] = v.x, shared[i + 1] = v.y, shared[i + 2] = v.z, shared[i + 3] = v.w;
}

/// The transform on load for 4 channels: relu((x - mean) * scale + shift). It leaves x alone by default.
struct QuadTransform {
  float4 mean{0, 0, 0, 0}, scale{1, 1, 1, 1}, shift{0, 0, 0, 0};

  __device__ __forceinline__ float4 operator()(float4 x, bool relu) const {
    x = fma4(shift, make_float4(x.x - mean.x, x.y - mean.y, x.z - mean.z, x.w - mean.w), scale);
    if (!relu) return x;
    return {x.x <= 0 ? 0 : x.x, x.y <= 0 ? 0 : x.y, x.z <= 0 ? 0 : x.z, x.w <= 0 ? 0 : x.w};
  }
};

/// Channels c..c+3 of a transform, of which n exist.
__device__ __forceinline__ QuadTransform quad_transform(const DeviceLoader& t, int c, int n) {
  QuadTransform q;
  if (!t.mean || n <= 0) return q;
  q.mean = load_some(t.mean + c, n, false);
  q.scale = load_some(t.rstd + c, n, false);
  if (!t.gamma) return q;
  const float4 gamma = load_some(t.gamma + c, n, false);
  q.scale = {q.scale.x * gamma.x, q.scale.y * gamma.y, q.scale.z * gamma.z, q.scale.w * gamma.w};
  q.shift = load_some(t.beta + c, n, false);
  return q;
}

}  // namespace mixop::kernels::cuda
