// Loads and stores of the first n lanes of a vector; lanes past n touch no memory.
#include "hwy/highway.h"

// Highway includes such files once per instruction set.
#if defined(MIXOP_PARTIAL_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MIXOP_PARTIAL_VECTOR_INL_H_
#undef MIXOP_PARTIAL_VECTOR_INL_H_
#else
#define MIXOP_PARTIAL_VECTOR_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {

using Floats = hwy::HWY_NAMESPACE::CappedTag<float, 16>;
using FloatVec = hwy::HWY_NAMESPACE::Vec<Floats>;

/// Lanes past n are zero.
HWY_INLINE FloatVec load_first(Floats d, const float* p, int64_t n) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return hwy::HWY_NAMESPACE::Load(d, lanes);
#else
  return hwy::HWY_NAMESPACE::MaskedLoad(hwy::HWY_NAMESPACE::FirstN(d, static_cast<size_t>(n)), d, p);
#endif
}

HWY_INLINE void store_first(FloatVec v, Floats d, float* p, int64_t n) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  hwy::HWY_NAMESPACE::Store(v, d, lanes);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
#else
  hwy::HWY_NAMESPACE::BlendedStore(v, hwy::HWY_NAMESPACE::FirstN(d, static_cast<size_t>(n)), d, p);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();
#endif
