// One or four neighbouring channels in registers: a kernel written for packs reads 16 bytes at a time where rows
// are aligned, and works anywhere else with kWidth = 1.
#pragma once

#include "kernels/core/cuda/vec.cuh"
#include "kernels/core/tensor.h"

namespace mixop::kernels::cuda {

template <int kWidth>
struct Pack {
  float v[kWidth];

  __device__ __forceinline__ float& operator[](int j) { return v[j]; }
  __device__ __forceinline__ float operator[](int j) const { return v[j]; }
};

template <int kWidth>
__device__ __forceinline__ Pack<kWidth> filled(float value) {
  Pack<kWidth> p;
  for (int j = 0; j < kWidth; ++j) p[j] = value;
  return p;
}

template <int kWidth>
__device__ __forceinline__ Pack<kWidth> load_pack(const float* p) {
  if constexpr (kWidth == 4) {
    const float4 v = load4(p);
    return {{v.x, v.y, v.z, v.w}};
  } else {
    return {{*p}};
  }
}

template <int kWidth>
__device__ __forceinline__ void store_pack(float* p, const Pack<kWidth>& v) {
  if constexpr (kWidth == 4) store4(p, make_float4(v[0], v[1], v[2], v[3]));
  else *p = v[0];
}

/// Stores v, or adds it to what is there.
template <int kWidth>
__device__ __forceinline__ void write_pack(float* p, Pack<kWidth> v, bool add) {
  if (add) {
    const Pack<kWidth> before = load_pack<kWidth>(p);
    for (int j = 0; j < kWidth; ++j) v[j] += before[j];
  }
  store_pack(p, v);
}

inline bool aligned4(const View& v) { return aligned4(v.data, v.ld, v.last()); }

/// Calls f.template operator()<kWidth>() with the widest pack that the operands allow.
template <class F>
void with_width(bool aligned, F&& f) {
  if (aligned) f.template operator()<4>();
  else f.template operator()<1>();
}

}  // namespace mixop::kernels::cuda
