#include "kernels/core/stencil.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/core/stencil.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/core/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE FloatVec init_of(const StencilRow& g, const float* out) {
  const Floats d;
  return g.init ? hn::LoadU(d, g.init + (out - g.out)) : hn::Zero(d);
}

// B outputs share each weight vector. Addresses are kept as one pointer per four vectors, which x86 addressing
// extends, so that they do not spill.
template <int B>
HWY_INLINE void stencil_block(const StencilRow& g, const float* w, int64_t in, float* out) {
  const Floats d;
  const int64_t lanes = hn::Lanes(d), step = g.step;
  FloatVec acc[B];
  HWY_UNROLL(16)
  for (int i = 0; i < B; ++i) acc[i] = init_of(g, out + i * g.out_step);
  for (int r = 0; r < g.filter_rows; ++r) {
    for (int s = 0; s < g.filter_columns; ++s, w += lanes) {
      const FloatVec wv = hn::LoadU(d, w);
      const float* p = g.row[r] + g.column[s] + in;
      HWY_UNROLL(16)
      for (int i = 0; i < B; ++i) {
        acc[i] = hn::MulAdd(hn::LoadU(d, p + i % 4 * step), wv, acc[i]);
        if (i % 4 == 3) p += 4 * step;
      }
    }
  }
  HWY_UNROLL(16)
  for (int i = 0; i < B; ++i) hn::StoreU(acc[i], d, out + i * g.out_step);
}

// Filter columns with a given spacing (see StencilRow) fall into classes; those of one class lie kApart steps
// apart.
template <int S, int kSpacing>
struct Columns {
  static constexpr int kClasses = kSpacing < 0 ? -kSpacing : 1, kApart = kSpacing < 0 ? 1 : kSpacing;
  static constexpr int size(int first) { return (S - first + kClasses - 1) / kClasses; }
};

// Adds what the filter columns of one class contribute to B outputs; p and w point to the first of them.
template <int B, int S, int kSpacing, int kClass>
HWY_INLINE void add_class(const float* p, int64_t step, const float* w, FloatVec (&acc)[B]) {
  using C = Columns<S, kSpacing>;
  constexpr int kSize = C::size(kClass);
  const Floats d;
  FloatVec wv[kSize];
  HWY_UNROLL(8)
  for (int s = 0; s < kSize; ++s) wv[s] = hn::LoadU(d, w + s * C::kClasses * static_cast<int64_t>(hn::Lanes(d)));
  HWY_UNROLL(32)
  for (int q = 0; q < B + (kSize - 1) * C::kApart; ++q) {
    const FloatVec x = hn::LoadU(d, p + q % 4 * step);
    if (q % 4 == 3) p += 4 * step;
    HWY_UNROLL(8)
    for (int s = 0; s < kSize; ++s) {
      const int i = q - s * C::kApart;
      if (i >= 0 && i < B) acc[i] = hn::MulAdd(x, wv[s], acc[i]);
    }
  }
}

// The same for an S x S filter with a known spacing of its columns: each input is loaded once for all columns of
// its class, else loads would be the limit.
template <int B, int S, int kSpacing>
HWY_INLINE void shared_block(const StencilRow& g, const float* w, int64_t in, float* out) {
  constexpr int kSums = B < 16 ? 2 : 1;  // enough of them to hide the latency of an addition
  const Floats d;
  const int64_t lanes = hn::Lanes(d);
  FloatVec acc[kSums][B];
  HWY_UNROLL(2)
  for (int k = 0; k < kSums; ++k) {
    HWY_UNROLL(16)
    for (int i = 0; i < B; ++i) acc[k][i] = k ? hn::Zero(d) : init_of(g, out + i * g.out_step);
  }
  HWY_UNROLL(8)
  for (int r = 0; r < S; ++r, w += S * lanes) {
    const float* p = g.row[r] + in;
    add_class<B, S, kSpacing, 0>(p + g.column[0], g.step, w, acc[r % kSums]);
    if (kSpacing < 0) add_class < B, S, kSpacing, kSpacing<0>(p + g.column[1], g.step, w + lanes, acc[r % kSums]);
  }
  HWY_UNROLL(16)
  for (int i = 0; i < B; ++i) {
    hn::StoreU(kSums > 1 ? hn::Add(acc[0][i], acc[kSums - 1][i]) : acc[0][i], d, out + i * g.out_step);
  }
}

template <int B>
HWY_INLINE void any_block(const StencilRow& g, const float* w, int64_t in, float* out) {
  const int square = g.filter_rows == g.filter_columns ? g.filter_rows : 0;
  if (square == 3 && g.spacing == 1) shared_block<B, 3, 1>(g, w, in, out);
  else if (square == 3 && g.spacing == 2) shared_block<B, 3, 2>(g, w, in, out);
  else if (square == 3 && g.spacing == -2) shared_block<B, 3, -2>(g, w, in, out);
  else if (square == 5 && g.spacing == 1) shared_block<B, 5, 1>(g, w, in, out);
  else if (square == 5 && g.spacing == 2) shared_block<B, 5, 2>(g, w, in, out);
  else if (square == 5 && g.spacing == -2) shared_block<B, 5, -2>(g, w, in, out);
  else stencil_block<B>(g, w, in, out);
}

void Stencil(const StencilRow& g) {
  const int64_t lanes = hn::Lanes(Floats());
  constexpr int64_t kBlock = HWY_TARGET <= HWY_AVX3 ? 16 : 8;
  for (int64_t b = 0; b < g.blocks; ++b) {
    const float* w = g.w + b * g.filter_rows * g.filter_columns * lanes;
    for (int64_t j = 0; j < g.vectors;) {
      const int64_t in = b * lanes + j * g.step, left = g.vectors - j;
      float* out = g.out + b * lanes + j * g.out_step;
      if (left >= kBlock) {
        any_block<kBlock>(g, w, in, out), j += kBlock;
      } else if (left >= 8) {
        any_block<8>(g, w, in, out), j += 8;
      } else if (g.vectors >= 8 && left > 1) {  // a block that computes some outputs again
        const int64_t back = 8 - left;
        any_block<8>(g, w, in - back * g.step, out - back * g.out_step), j += left;
      } else if (left >= 4) {
        stencil_block<4>(g, w, in, out), j += 4;
      } else if (left >= 2) {
        stencil_block<2>(g, w, in, out), j += 2;
      } else {
        stencil_block<1>(g, w, in, out), j += 1;
      }
    }
  }
}

// Adds what J outputs dv contribute to the filter columns of one class; p points to the input of the first.
template <int S, int kSpacing, int kClass, int J>
HWY_INLINE void wgrad_class(const float* p, int64_t step, const FloatVec (&dv)[J], FloatVec (&acc)[S]) {
  using C = Columns<S, kSpacing>;
  constexpr int kSize = C::size(kClass);
  const Floats d;
  HWY_UNROLL(16)
  for (int q = 0; q < J + (kSize - 1) * C::kApart; ++q) {
    const FloatVec x = hn::LoadU(d, p + q % 4 * step);
    if (q % 4 == 3) p += 4 * step;
    HWY_UNROLL(8)
    for (int s = 0; s < kSize; ++s) {
      const int o = q - s * C::kApart;
      FloatVec& sum = acc[s * C::kClasses + kClass];
      if (o >= 0 && o < J) sum = hn::MulAdd(x, dv[o], sum);
    }
  }
}

// R x S filter elements of one channel block, from filter row r0 and column s0 on, stay in registers over all rows.
// With a known spacing J neighbouring outputs share the inputs they have in common.
template <int R, int S, int kSpacing, int J>
HWY_INLINE void wgrad_taps(const WgradRows& g, int64_t block, int r0, int s0) {
  const Floats d;
  const int64_t lanes = hn::Lanes(d), step = g.step;
  const int64_t taps = int64_t{g.filter_rows} * g.filter_columns;
  float* out = g.acc + (block * taps + int64_t{r0} * g.filter_columns + s0) * lanes;
  FloatVec acc[R][S];
  int64_t column[S];
  HWY_UNROLL(8)
  for (int s = 0; s < S; ++s) column[s] = g.column[s0 + s];
  HWY_UNROLL(8)
  for (int r = 0; r < R; ++r) {
    HWY_UNROLL(8)
    for (int s = 0; s < S; ++s) acc[r][s] = hn::LoadU(d, out + (r * g.filter_columns + s) * lanes);
  }
  for (int64_t i = 0; i < g.rows; ++i) {
    const float* row[R];
    HWY_UNROLL(8)
    for (int r = 0; r < R; ++r) row[r] = g.row[i * g.filter_rows + r0 + r] + block * lanes;
    const float* dy = g.dy[i] + block * lanes;
    int64_t j = 0;
    if constexpr (kSpacing != 0) {
      for (; j + J <= g.vectors; j += J) {
        FloatVec dv[J];
        HWY_UNROLL(8)
        for (int o = 0; o < J; ++o) dv[o] = hn::LoadU(d, dy + o * g.dy_step);
        dy += J * g.dy_step;
        HWY_UNROLL(8)
        for (int r = 0; r < R; ++r) {
          wgrad_class<S, kSpacing, 0>(row[r] + column[0], step, dv, acc[r]);
          if constexpr (kSpacing < 0) wgrad_class < S, kSpacing, kSpacing<0>(row[r] + column[1], step, dv, acc[r]);
          row[r] += J * step;
        }
      }
    }
    for (; j < g.vectors; ++j, dy += g.dy_step) {
      const FloatVec dv = hn::LoadU(d, dy);
      HWY_UNROLL(8)
      for (int r = 0; r < R; ++r) {
        HWY_UNROLL(8)
        for (int s = 0; s < S; ++s) acc[r][s] = hn::MulAdd(hn::LoadU(d, row[r] + column[s]), dv, acc[r][s]);
        row[r] += step;
      }
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < R; ++r) {
    HWY_UNROLL(8)
    for (int s = 0; s < S; ++s) hn::StoreU(acc[r][s], d, out + (r * g.filter_columns + s) * lanes);
  }
}

template <int S, int kSpacing>
HWY_INLINE void wgrad_square(const WgradRows& g, int64_t block) {
  // As many filter rows at a time as the registers hold beside J = 4 outputs and an input.
  constexpr int kRows = HWY_TARGET <= HWY_AVX3 || S == 3 ? S : 1;
  for (int r = 0; r < S; r += kRows) wgrad_taps<kRows, S, kSpacing, 4>(g, block, r, 0);
}

template <int S>
HWY_INLINE void wgrad_square(const WgradRows& g, int64_t block) {
  if (g.spacing == 1) wgrad_square<S, 1>(g, block);
  else if (g.spacing == 2) wgrad_square<S, 2>(g, block);
  else if (g.spacing == -2) wgrad_square<S, -2>(g, block);
  else wgrad_square<S, 0>(g, block);
}

void Wgrad(const WgradRows& g) {
  for (int64_t b = 0; b < g.blocks; ++b) {
    if (g.filter_rows == 3 && g.filter_columns == 3) {
      wgrad_square<3>(g, b);
    } else if (g.filter_rows == 5 && g.filter_columns == 5) {
      wgrad_square<5>(g, b);
    } else {
      for (int r = 0; r < g.filter_rows; ++r) {
        int s = 0;
        for (; s + 4 <= g.filter_columns; s += 4) wgrad_taps<1, 4, 0, 1>(g, b, r, s);
        for (; s < g.filter_columns; ++s) wgrad_taps<1, 1, 0, 1>(g, b, r, s);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(Stencil);
HWY_EXPORT(Wgrad);
StencilFunctions stencil_functions() { return {HWY_DYNAMIC_DISPATCH(Stencil), HWY_DYNAMIC_DISPATCH(Wgrad)}; }
}  // namespace mixop::kernels
#endif
