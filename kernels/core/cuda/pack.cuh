// One or four neighbouring channels in registers: a kernel written for packs reads four numbers at a time where
// rows are aligned, and works anywhere else with kWidth = 1.
#pragma once

#include "kernels/core/cuda/stored.cuh"

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
__device__ __forceinline__ Pack<kWidth> values_of(const Stored& x, const Bits<kWidth>& bits) {
  Pack<kWidth> p;
#pragma unroll
  for (int j = 0; j < kWidth; ++j) p[j] = x.value(bits, j);
  return p;
}

/// Elements i to i + kWidth - 1.
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> load_pack(const Stored& x, int64_t i) {
  return values_of(x, x.template bits<kWidth>(i));
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
/// Of bfloat16.
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> load_pack(const uint16_t* p) {
  return load_pack<kWidth>(Stored(p), 0);
}

template <int kWidth>
__device__ __forceinline__ void store_pack(const Stored& to, int64_t i, const Pack<kWidth>& v) {
  if constexpr (kWidth == 4) to.store4(i, make_float4(v[0], v[1], v[2], v[3]));
  else to.store(i, v[0]);
}
template <int kWidth>
__device__ __forceinline__ void store_pack(float* p, const Pack<kWidth>& v) {
  if constexpr (kWidth == 4) store4(p, make_float4(v[0], v[1], v[2], v[3]));
  else *p = v[0];
}

/// Stores v, or adds it to what is there.
template <int kWidth>
__device__ __forceinline__ void write_pack(const Stored& to, int64_t i, Pack<kWidth> v, bool add) {
  if (add) {
    const Pack<kWidth> before = load_pack<kWidth>(to, i);
    for (int j = 0; j < kWidth; ++j) v[j] += before[j];
  }
  store_pack(to, i, v);
}
template <int kWidth>
__device__ __forceinline__ void write_pack(float* p, Pack<kWidth> v, bool add) {
  if (add) {
    const Pack<kWidth> before = load_pack<kWidth>(p);
    for (int j = 0; j < kWidth; ++j) v[j] += before[j];
  }
  store_pack(p, v);
}

/// v as it is read back once it is stored.
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> rounded(const Stored& to, Pack<kWidth> v) {
  if (to.bf16)
    for (int j = 0; j < kWidth; ++j) v[j] = from_bf16(pack_bf16(v[j], 0.0f));
  return v;
}

inline bool aligned4(const View& v) { return aligned4(v.data, v.ld, v.last()); }

/// Calls f.template operator()<kWidth>() with the widest pack that the operands allow.
template <class F>
void with_width(bool aligned, F&& f) {
  if (aligned) f.template operator()<4>();
  else f.template operator()<1>();
}

}  // namespace mixop::kernels::cuda
