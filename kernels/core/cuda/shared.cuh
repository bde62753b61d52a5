// Shared memory. Kernels declare it through these macros only and index it with [] only: under emulation the array
// is a checked one that finds races, reads of what nobody wrote and indices out of range.
//   MIXOP_SHARED(float, tile, 32 * 33);       // __shared__ float tile[32 * 33]
//   MIXOP_DYNAMIC_SHARED(float, rows);        // the launch's shared_bytes, as float; at most one in a kernel
// Functions take such arrays as a template parameter by value: template <class S> __device__ void f(S tile).
#pragma once

#include <cuda_runtime.h>

#ifndef MIXOP_SHARED
#define MIXOP_SHARED(T, name, ...) __shared__ __align__(16) T name[__VA_ARGS__]
#define MIXOP_DYNAMIC_SHARED(T, name)                             \
  extern __shared__ __align__(16) unsigned char mixop_dynamic_[]; \
  T* const name = reinterpret_cast<T*>(mixop_dynamic_)
#endif

namespace mixop::kernels::cuda {

/// Elements i to i + 3 of a shared array of float, i a multiple of 4. The overloads for a plain pointer make one
/// access of 16 bytes of it; the general form serves the emulator's arrays.
template <class S>
__device__ __forceinline__ float4 load4(S shared, int i) {
  return make_float4(shared[i], shared[i + 1], shared[i + 2], shared[i + 3]);
}
__device__ __forceinline__ float4 load4(float* shared, int i) {
  return *reinterpret_cast<const float4*>(shared + i);
}
template <class S>
__device__ __forceinline__ void store4(S shared, int i, float4 v) {
  shared[i] = v.x, shared[i + 1] = v.y, shared[i + 2] = v.z, shared[i + 3] = v.w;
}
__device__ __forceinline__ void store4(float* shared, int i, float4 v) {
  *reinterpret_cast<float4*>(shared + i) = v;
}
/// The same for 2 elements, i even.
template <class S>
__device__ __forceinline__ float2 load2(S shared, int i) {
  return make_float2(shared[i], shared[i + 1]);
}
__device__ __forceinline__ float2 load2(float* shared, int i) {
  return *reinterpret_cast<const float2*>(shared + i);
}
template <class S>
__device__ __forceinline__ void store2(S shared, int i, float2 v) {
  shared[i] = v.x, shared[i + 1] = v.y;
}
__device__ __forceinline__ void store2(float* shared, int i, float2 v) {
  *reinterpret_cast<float2*>(shared + i) = v;
}

}  // namespace mixop::kernels::cuda
