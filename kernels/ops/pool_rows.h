// Row operations of pooling. Included once per SIMD target.
#if defined(MIXOP_KERNELS_OPS_POOL_ROWS_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MIXOP_KERNELS_OPS_POOL_ROWS_H_
#undef MIXOP_KERNELS_OPS_POOL_ROWS_H_
#else
#define MIXOP_KERNELS_OPS_POOL_ROWS_H_
#endif

#include <algorithm>
#include <limits>

#include "kernels/core/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// dst (+)= src for n pixels of exactly kChannels, which is less than a vector.
template <bool kAdd, int kChannels>
void CopySmallPixels(const float* src, int64_t ldsrc, float* dst, int64_t lddst, int64_t n) {
  const hn::CappedTag<float, kChannels> d;
  for (; n > 0; --n, src += ldsrc, dst += lddst)
    for (int j = 0; j < kChannels; j += hn::MaxLanes(d)) {
      auto value = hn::LoadU(d, src + j);
      if constexpr (kAdd) value = hn::Add(value, hn::LoadU(d, dst + j));
      hn::StoreU(value, d, dst + j);
    }
}

/// dst (+)= src for n pixels, ld floats apart.
template <bool kAdd = false>
void CopyPixels(const float* src, int64_t ldsrc, float* dst, int64_t lddst, int64_t n, int64_t channels) {
  if (ldsrc == channels && lddst == channels) {
    channels *= n;
    n = 1;
  } else if (channels == 4) {
    return CopySmallPixels<kAdd, 4>(src, ldsrc, dst, lddst, n);
  } else if (channels == 8) {
    return CopySmallPixels<kAdd, 8>(src, ldsrc, dst, lddst, n);
  }
  for (; n > 0; --n, src += ldsrc, dst += lddst)
    for_vectors(channels, [&](auto io, int64_t j) HWY_ATTR {
      Vec32 value = io.load(src + j);
      if constexpr (kAdd) value = hn::Add(value, io.load(dst + j));
      io.store(value, dst + j);
    });
}

/// dst = scale src + shift for n pixels, those of dst side by side.
void ScalePixels(const float* src, int64_t ldsrc, const float* scale, const float* shift, float* dst,
                 int64_t channels, int64_t n) {
  for_vectors(channels, [=](auto io, int64_t c) HWY_ATTR {
    const Vec32 factor = io.load(scale + c), constant = io.load(shift + c);
    for (int64_t i = 0; i < n; ++i)
      io.store(hn::MulAdd(factor, io.load(src + i * ldsrc + c), constant), dst + i * channels + c);
  });
}

/// Is `value` to replace the maximum so far? A NaN always does, and is then replaced by another NaN only.
HWY_INLINE hn::Mask<F32> Beats(Vec32 value, Vec32 best) { return hn::Or(hn::Gt(value, best), hn::IsNaN(value)); }

/// Operands of a row operation, copied to registers when their number is known while compiling (kN > 0).
template <int kN, class T>
struct Operands {
  T of[kN];
  explicit Operands(const T* from) { std::copy_n(from, kN, of); }
  HWY_INLINE const T& operator[](int i) const { return of[i]; }
};
template <class T>
struct Operands<0, T> {
  const T* of;
  explicit Operands(const T* from) : of(from) {}
  HWY_INLINE const T& operator[](int i) const { return of[i]; }
};

/// kN: the number of operands when it is known while compiling, 0: n.
template <int kN>
void MaxOfN(const float* const* operands, int n, float* out, int64_t count) {
  const Operands<kN, const float*> src(operands);
  for_vectors(count, [&](auto io, int64_t j) HWY_ATTR {
    Vec32 best = io.load(src[0] + j);
    for (int i = 1; i < (kN ? kN : n); ++i) {
      const Vec32 value = io.load(src[i] + j);
      best = hn::IfThenElse(Beats(value, best), value, best);
    }
    io.store(best, out + j);
  });
}
inline void MaxOf(const float* const* src, int n, float* out, int64_t count) {
  if (n == 0) std::fill_n(out, count, -kInfinity);
  else if (n == 2) MaxOfN<2>(src, n, out, count);
  else if (n == 3) MaxOfN<3>(src, n, out, count);
  else MaxOfN<0>(src, n, out, count);
}

/// out (+)= sum of the operands.
template <int kN, bool kAdd>
void SumOfN(const float* const* operands, int n, float* out, int64_t count) {
  const Operands<kN, const float*> src(operands);
  for_vectors(count, [&](auto io, int64_t j) HWY_ATTR {
    Vec32 sum = kAdd ? io.load(out + j) : hn::Zero(F32());
    for (int i = 0; i < (kN ? kN : n); ++i) sum = hn::Add(sum, io.load(src[i] + j));
    io.store(sum, out + j);
  });
}
template <bool kAdd = false>
void SumOf(const float* const* src, int n, float* out, int64_t count) {
  if (n == 3) SumOfN<3, kAdd>(src, n, out, count);
  else SumOfN<0, kAdd>(src, n, out, count);
}

/// out = src * (factors * factor).
void ScaleRow(const float* src, const float* factors, float factor, float* out, int64_t count) {
  const Vec32 f = hn::Set(F32(), factor);
  for_vectors(count, [&](auto io, int64_t j) HWY_ATTR {
    io.store(hn::Mul(io.load(src + j), hn::Mul(f, io.load(factors + j))), out + j);
  });
}

/// The maximum of the taps of each pixel and which tap it is; `first` holds the first valid tap.
template <int kN>
void PickTapN(const float* const* taps, int n, const float* first, float* best_out, float* pick_out,
              int64_t count) {
  for_vectors(count, [&](auto io, int64_t j) HWY_ATTR {
    const F32 d;
    Vec32 best = hn::Set(d, -kInfinity), pick = io.load(first + j);
    for (int i = 0; i < (kN ? kN : n); ++i) {
      const Vec32 value = io.load(taps[i] + j);
      const auto take = Beats(value, best);
      best = hn::IfThenElse(take, value, best);
      pick = hn::IfThenElse(take, hn::Set(d, static_cast<float>(i)), pick);
    }
    io.store(best, best_out + j);
    io.store(pick, pick_out + j);
  });
}

/// Adds dy to the gradient of the first row that holds the maximum.
template <int kN>
void ScatterToRowsN(const float* const* best_rows, float* const* grad_rows, int n, const float* dy, int64_t count) {
  const Operands<kN, const float*> rows(best_rows);
  const Operands<kN, float*> grads(grad_rows);
  for_vectors(count, [&](auto io, int64_t j) HWY_ATTR {
    const F32 d;
    Vec32 best = io.load(rows[0] + j), pick = hn::Zero(d);
    for (int i = 1; i < (kN ? kN : n); ++i) {
      const Vec32 value = io.load(rows[i] + j);
      const auto take = Beats(value, best);
      best = hn::IfThenElse(take, value, best);
      pick = hn::IfThenElse(take, hn::Set(d, static_cast<float>(i)), pick);
    }
    const Vec32 g = io.load(dy + j);
    for (int i = 0; i < (kN ? kN : n); ++i) {
      const Vec32 mine = hn::IfThenElseZero(hn::Eq(pick, hn::Set(d, static_cast<float>(i))), g);
      io.store(hn::Add(io.load(grads[i] + j), mine), grads[i] + j);
    }
  });
}

/// One tap of a gradient line: where its windows' picks and gradients begin, for output position 0.
struct PickedTap {
  const float *pick, *grad;
  float tap;
};

/// out (+)= sum over taps of the gradients of the windows that picked it.
template <int kN, bool kAdd>
void GatherPickedN(const PickedTap* picked, int n, float* out, int64_t count) {
  const Operands<kN, PickedTap> taps(picked);
  for_vectors(count, [&](auto io, int64_t j) HWY_ATTR {
    const F32 d;
    Vec32 sum = kAdd ? io.load(out + j) : hn::Zero(d);
    for (int i = 0; i < (kN ? kN : n); ++i) {
      const auto mine = hn::Eq(io.load(taps[i].pick + j), hn::Set(d, taps[i].tap));
      sum = hn::Add(sum, hn::IfThenElseZero(mine, io.load(taps[i].grad + j)));
    }
    io.store(sum, out + j);
  });
}
template <bool kAdd>
void GatherPicked(const PickedTap* taps, int n, float* out, int64_t count) {
  if (n == 3) GatherPickedN<3, kAdd>(taps, n, out, count);
  else GatherPickedN<0, kAdd>(taps, n, out, count);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();
#endif
