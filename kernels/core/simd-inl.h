// Highway in the form that row kernels use: a body written once runs on full vectors and on the masked rest of a
// row, and never touches memory outside the row. Included once per SIMD target, after hwy/highway.h.
#if defined(MIXOP_KERNELS_CORE_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MIXOP_KERNELS_CORE_SIMD_INL_H_
#undef MIXOP_KERNELS_CORE_SIMD_INL_H_
#else
#define MIXOP_KERNELS_CORE_SIMD_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/core/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = Floats;
using Vec32 = FloatVec;
constexpr int64_t kLanes = hn::MaxLanes(F32());

/// Whole vectors at any address.
struct Full {
  HWY_INLINE Vec32 load(const float* p) const { return hn::LoadU(F32(), p); }
  HWY_INLINE void store(Vec32 v, float* p) const { hn::StoreU(v, F32(), p); }
};

/// Whole vectors, written past the caches (core/stream.h).
struct Streamed {
  HWY_INLINE Vec32 load(const float* p) const { return hn::LoadU(F32(), p); }
  HWY_INLINE void store(Vec32 v, float* p) const { hn::Stream(v, F32(), p); }
};

/// The first n lanes; the others read as zero and are not written.
struct Tail {
  int64_t n;
  HWY_INLINE Vec32 load(const float* p) const { return load_first(F32(), p, n); }
  HWY_INLINE void store(Vec32 v, float* p) const { store_first(v, F32(), p, n); }
};

/// Calls body(Full or Tail, j) for every vector of a row of n elements, j its first element.
template <class Body>
HWY_INLINE void for_vectors(int64_t n, const Body& body) {
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) body(Full(), j);
  if (j < n) body(Tail{n - j}, j);
}

/// Calls body.template operator()<G>(io, j) for groups of G = 4 vectors, then single ones and the masked rest: for
/// loops that keep a few columns in registers and run down the rows.
template <class Body>
HWY_INLINE void for_columns(int64_t n, const Body& body) {
  int64_t j = 0;
  for (; j + 4 * kLanes <= n; j += 4 * kLanes) body.template operator()<4>(Full(), j);
  for (; j + kLanes <= n; j += kLanes) body.template operator()<1>(Full(), j);
  if (j < n) body.template operator()<1>(Tail{n - j}, j);
}

}  // namespace mixop::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
