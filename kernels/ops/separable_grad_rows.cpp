#include "kernels/ops/separable_grad_rows.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/separable_grad_rows.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/core/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One vector of channels down the pixels, its constants in registers.
template <class Io>
HWY_INLINE void norm_gradient_column(Io io, const NormGradientRows& g, int64_t c) {
  const F32 d;
  const Vec32 a = hn::Mul(hn::Set(d, g.factor), hn::LoadU(d, g.dy_scale + c)), b = hn::LoadU(d, g.z_scale + c),
              shift = hn::LoadU(d, g.shift + c);
  const float *dy = g.dy + c, *z = g.z + c;
  float* to = g.to + c;
  const int64_t pixels = g.pixels, ld_dy = g.ld_dy, ld_z = g.ld_z, ld_to = g.ld_to;
  for (int64_t i = 0; i < pixels; ++i, dy += ld_dy, z += ld_z, to += ld_to) {
    hn::StoreU(hn::MulAdd(a, io.load(dy), hn::MulAdd(b, io.load(z), shift)), d, to);
  }
}

void NormGradient(const NormGradientRows& g) {
  for_vectors(g.channels, [&](auto io, int64_t c) { norm_gradient_column(io, g, c); });
}

struct Steps {
  int64_t count, dx, x, to;
};

// `count` vectors that share their constants, which begin at channel c; so do the sums.
template <bool kNorm, bool kRelu, bool kSums, class Io>
HWY_INLINE void masked_column(Io io, const MaskedRows& g, int64_t begin, int64_t c, Steps step) {
  const F32 d;
  const Vec32 zero = hn::Zero(d);
  const Vec32 mean = kNorm ? hn::LoadU(d, g.t.mean + c) : zero;
  const Vec32 scale = kNorm ? hn::LoadU(d, g.t.scale + c) : zero;
  const Vec32 shift = kNorm ? hn::LoadU(d, g.t.shift + c) : zero;
  Vec32 s1 = kSums ? hn::LoadU(d, g.s1 + c) : zero, s2 = kSums ? hn::LoadU(d, g.s2 + c) : zero;
  const float *dx = g.dx + begin, *x = g.x + begin;
  float* to = g.to + begin;
  const bool add = g.add;
  for (int64_t i = 0; i < step.count; ++i, dx += step.dx, x += step.x, to += step.to) {
    Vec32 v = io.load(dx);
    if (kRelu || kSums) {
      const Vec32 xv = io.load(x), off = kNorm ? hn::Sub(xv, mean) : xv;
      if (kRelu) v = hn::IfThenZeroElse(hn::Le(kNorm ? hn::MulAdd(off, scale, shift) : xv, zero), v);
      if (kSums) s1 = hn::Add(s1, v), s2 = hn::MulAdd(v, off, s2);
    }
    io.store(add ? hn::Add(io.load(to), v) : v, to);
  }
  if (kSums) hn::StoreU(s1, d, g.s1 + c), hn::StoreU(s2, d, g.s2 + c);
}

template <bool kNorm, bool kRelu, bool kSums>
void masked_rows(const MaskedRows& g) {
  const int64_t c = g.channels;
  if (kLanes % c == 0 && g.ld_dx == c && g.ld_x == c && g.ld_to == c) {  // one long row of repeated constants
    const int64_t size = g.pixels * c, whole = size / kLanes;
    if (g.stream) masked_column<kNorm, kRelu, kSums>(Streamed(), g, 0, 0, {whole, kLanes, kLanes, kLanes});
    else masked_column<kNorm, kRelu, kSums>(Full(), g, 0, 0, {whole, kLanes, kLanes, kLanes});
    if (size % kLanes) masked_column<kNorm, kRelu, kSums>(Tail{size % kLanes}, g, whole * kLanes, 0, {1, 0, 0, 0});
  } else {
    const Steps step = {g.pixels, g.ld_dx, g.ld_x, g.ld_to};
    for_vectors(c, [&](auto io, int64_t j) {
      if (g.stream) masked_column<kNorm, kRelu, kSums>(Streamed(), g, j, j, step);
      else masked_column<kNorm, kRelu, kSums>(io, g, j, j, step);
    });
  }
}

void Masked(const MaskedRows& g) {
  if (g.s1 && g.t.relu) masked_rows<true, true, true>(g);
  else if (g.s1) masked_rows<true, false, true>(g);
  else if (g.t.relu && g.t.norm) masked_rows<true, true, false>(g);
  else if (g.t.relu) masked_rows<false, true, false>(g);
  else masked_rows<false, false, false>(g);
}

}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(NormGradient);
HWY_EXPORT(Masked);

SeparableGradRows separable_grad_rows() {
  return {HWY_DYNAMIC_DISPATCH(NormGradient), HWY_DYNAMIC_DISPATCH(Masked)};
}

}  // namespace mixop::kernels
#endif
