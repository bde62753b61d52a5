// Pooling with 3x3 windows, padding 1 and stride 1 or 2 of pixels that are whole vectors of channels, by the row of
// windows: each vector of channels walks along the row with the neighbouring cells in registers. Cells outside are
// -inf or 0. The maximum is searched for in finite x only, where no two comparisons are needed; rows from the first
// NaN or infinity on are left to pool_tasks.h. Included once per SIMD target.
#if defined(MIXOP_KERNELS_OPS_POOL_3X3_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MIXOP_KERNELS_OPS_POOL_3X3_H_
#undef MIXOP_KERNELS_OPS_POOL_3X3_H_
#else
#define MIXOP_KERNELS_OPS_POOL_3X3_H_
#endif

#include "kernels/ops/pool_tasks.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Pixels of x and of the other operands lie side by side.
bool Is3x3(const PoolPlan& p, int64_t ldx, int64_t ld) {
  const auto fits = [](const PoolAxis& a) {
    return a.kernel == 3 && a.pad == 1 && a.dilation == 1 && a.stride <= 2 && !a.ceil_mode;
  };
  return fits(p.v) && fits(p.h) && p.v.stride == p.h.stride && p.channels % kLanes == 0 && ldx == p.channels &&
         ld == p.channels;
}

/// Row y of an image, or `outside` where there is none.
float* RowOf(const View& v, int64_t image, int64_t y, float* outside) {
  if (y < 0 || y >= v.shape[1]) return outside;
  return v.as<float>() + (image * v.shape[1] + y) * v.shape[2] * v.ld;
}

/// Looks for NaN and infinity in the rows of an image as they come to be read.
class FiniteRows {
 public:
  FiniteRows(const View& x, int64_t image, int64_t first)
      : x_(x), image_(image), next_(std::max<int64_t>(first, 0)), count_(x.shape[2] * x.shape[3]) {}
  /// Whether all rows before `end` are finite.
  bool until(int64_t end) {
    const F32 d;
    Vec32 sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};  // of 0 * x: 0 or NaN
    for (; next_ < std::min(end, x_.shape[1]); ++next_) {
      const float* row = RowOf(x_, image_, next_, nullptr);
      int64_t j = 0;
      for (; j + 4 * kLanes <= count_; j += 4 * kLanes)
        for (int k = 0; k < 4; ++k) sum[k] = hn::MulAdd(hn::LoadU(d, row + j + k * kLanes), hn::Zero(d), sum[k]);
      for (; j < count_; j += kLanes) sum[0] = hn::MulAdd(hn::LoadU(d, row + j), hn::Zero(d), sum[0]);
    }
    return hn::AllFalse(d, hn::IsNaN(hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]))));
  }

 private:
  const View& x_;
  int64_t image_, next_, count_;
};

template <bool kMax>
HWY_INLINE Vec32 Combine(Vec32 a, Vec32 b) {
  if constexpr (kMax) return hn::Max(a, b);
  else return hn::Add(a, b);
}

/// One row of windows over three rows of cells; factors[pixel] * factor multiplies sums.
template <bool kMax, int kStride>
void Forward3x3Row(const PoolPlan& p, const float* x0, const float* x1, const float* x2, const float* factors,
                   float factor, float* y) {
  const F32 d;
  const Vec32 nothing = hn::Set(d, kMax ? -kInfinity : 0.0f);
  const int64_t channels = p.channels, size = p.h.size, width = p.width;
  for (int64_t c = 0; c < channels; c += kLanes) {
    const auto column = [=](int64_t j) HWY_ATTR {
      return Combine<kMax>(Combine<kMax>(hn::LoadU(d, x0 + j), hn::LoadU(d, x1 + j)), hn::LoadU(d, x2 + j));
    };
    Vec32 left = nothing, middle = column(c);
    int64_t i = 0, j = c;
    const auto window = [&](Vec32 right) HWY_ATTR {
      Vec32 v = Combine<kMax>(Combine<kMax>(left, middle), right);
      if constexpr (!kMax) v = hn::Mul(v, hn::Set(d, factors[i] * factor));
      hn::StoreU(v, d, y + i * channels + c);
      left = kStride == 1 ? middle : right;
      middle = right;
    };
    const int64_t whole = kStride == 1 ? size - 1 : size / 2;  // windows with a third column
    for (; i < whole; ++i, j += kStride * channels) {
      if constexpr (kStride == 2) middle = column(j);
      window(column(j + channels));
    }
    if (i == width) continue;
    if constexpr (kStride == 2) middle = column(j);
    window(nothing);
  }
}

/// Returns the first row of y that is not complete, for the sake of which the rest of the band needs more care.
template <bool kMax, int kStride, class Ready>
int64_t Forward3x3(const PoolPlan& p, const View& x, const View& y, int64_t image, Range band, float* scratch,
                   const Ready& ready) {
  Lines lines{scratch};
  float *outside = lines.take(p.padded(), kMax ? -kInfinity : 0), *factors = lines.take(p.row);
  for (int64_t xo = 0; xo < p.width; ++xo) factors[xo] = 1.0f / static_cast<float>(p.h.divisor(xo));
  FiniteRows finite(x, image, p.v.begin(band.begin));
  for (int64_t yo = band.begin; yo < band.end; ++yo) {
    const int64_t r = p.v.begin(yo);
    if (kMax && !finite.until(r + 3)) return yo;
    Forward3x3Row<kMax, kStride>(p, RowOf(x, image, r, outside), RowOf(x, image, r + 1, outside),
                                 RowOf(x, image, r + 2, outside), factors,
                                 1.0f / static_cast<float>(p.v.divisor(yo)), RowOf(y, image, yo, nullptr));
    ready((image * p.height + yo + 1) * p.width);
  }
  return band.end;
}

/// Which of three cells holds the first maximum: the second, the third, else the first.
struct First {
  hn::Mask<F32> second, third;
  HWY_INLINE First(Vec32 a, Vec32 b, Vec32 c) : second(hn::Gt(b, a)), third(hn::Gt(c, hn::Max(a, b))) {}
  /// g where the cell is the maximum, else 0.
  HWY_INLINE Vec32 of_second(Vec32 g) const { return hn::IfThenElseZero(hn::AndNot(third, second), g); }
  HWY_INLINE Vec32 of_third(Vec32 g) const { return hn::IfThenElseZero(third, g); }
  /// sum, plus g where the cell is the maximum: one masked addition where there are such.
  HWY_INLINE Vec32 add_first(Vec32 sum, Vec32 g) const {
    return hn::IfThenElse(hn::Or(second, third), sum, hn::Add(sum, g));
  }
  HWY_INLINE Vec32 add_second(Vec32 sum, Vec32 g) const {
    return hn::IfThenElse(hn::AndNot(third, second), hn::Add(sum, g), sum);
  }
};

HWY_INLINE Vec32 Max3(Vec32 a, Vec32 b, Vec32 c) { return hn::Max(hn::Max(a, b), c); }

template <bool kAdd>
HWY_INLINE void StoreGrad(Vec32 v, float* to) {
  const F32 d;
  if constexpr (kAdd) v = hn::Add(v, hn::LoadU(d, to));
  hn::StoreU(v, d, to);
}

/// A row of windows with stride 1 gives its gradient g to three rows of cells: `above` is complete then and spreads
/// along the row into dx, `row` has more to come, `below` begins.
template <bool kAdd>
void MaxGrad3x3Row1(const PoolPlan& p, const float* x0, const float* x1, const float* x2, const float* g,
                    const float* above, float* row, float* below, float* dx) {
  const F32 d;
  const Vec32 outside = hn::Set(d, -kInfinity);
  const int64_t channels = p.channels, last = (p.width - 1) * channels;
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vec32 a0 = outside, a1 = outside, a2 = outside;
    Vec32 b0 = hn::LoadU(d, x0 + c), b1 = hn::LoadU(d, x1 + c), b2 = hn::LoadU(d, x2 + c);
    Vec32 left = hn::Zero(d), middle = left;  // what dx has so far in the first two cells of the window
    int64_t j = c,
            before = c;  // the first window has no first cell: 0 goes to its second, which is set or added to later
    const auto window = [&](Vec32 c0, Vec32 c1, Vec32 c2) HWY_ATTR {
      const First down(Max3(a0, b0, c0), Max3(a1, b1, c1), Max3(a2, b2, c2)), along(a0, b0, c0);
      const Vec32 dz = hn::LoadU(d, g + j);
      const Vec32 top = down.add_first(hn::LoadU(d, above + j), dz);
      hn::StoreU(down.add_second(hn::LoadU(d, row + j), dz), d, row + j);
      hn::StoreU(down.of_third(dz), d, below + j);
      StoreGrad<kAdd>(along.add_first(left, top), dx + before);
      left = along.add_second(middle, top);
      middle = along.of_third(top);
      a0 = b0, a1 = b1, a2 = b2;
      b0 = c0, b1 = c1, b2 = c2;
      before = j;
    };
    for (; j < last; j += channels)
      window(hn::LoadU(d, x0 + j + channels), hn::LoadU(d, x1 + j + channels), hn::LoadU(d, x2 + j + channels));
    window(outside, outside, outside);
    StoreGrad<kAdd>(left, dx + j);
  }
}

/// The same with stride 2: `above` and the row of cells below it, which no other windows cover, are complete then.
template <bool kAdd>
void MaxGrad3x3Row2(const PoolPlan& p, const float* x0, const float* x1, const float* x2, const float* g,
                    const float* above, float* below, float* dx_above, float* dx_row) {
  const F32 d;
  const Vec32 outside = hn::Set(d, -kInfinity);
  const int64_t channels = p.channels, whole = p.h.size / 2;  // windows with a third column
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vec32 a0 = outside, a1 = outside, a2 = outside, left0 = hn::Zero(d), left1 = left0;
    int64_t j = c, k = c, before = c;  // in lines of windows, in rows of cells; before: as above
    const auto window = [&](Vec32 c0, Vec32 c1, Vec32 c2) HWY_ATTR {
      const Vec32 b0 = hn::LoadU(d, x0 + k), b1 = hn::LoadU(d, x1 + k), b2 = hn::LoadU(d, x2 + k);
      const First down(Max3(a0, b0, c0), Max3(a1, b1, c1), Max3(a2, b2, c2)), along0(a0, b0, c0),
          along1(a1, b1, c1);
      const Vec32 dz = hn::LoadU(d, g + j), own = down.of_second(dz);
      const Vec32 top = down.add_first(hn::LoadU(d, above + j), dz);
      hn::StoreU(down.of_third(dz), d, below + j);
      StoreGrad<kAdd>(along0.add_first(left0, top), dx_above + before);
      StoreGrad<kAdd>(along1.add_first(left1, own), dx_row + before);
      StoreGrad<kAdd>(along0.of_second(top), dx_above + k);
      StoreGrad<kAdd>(along1.of_second(own), dx_row + k);
      left0 = along0.of_third(top);
      left1 = along1.of_third(own);
      a0 = c0, a1 = c1, a2 = c2;
      before = k + channels;
      j += channels;
      k += 2 * channels;
    };
    for (int64_t i = 0; i < whole; ++i) {
      const int64_t third = k + channels;
      window(hn::LoadU(d, x0 + third), hn::LoadU(d, x1 + third), hn::LoadU(d, x2 + third));
    }
    if (whole < p.width) {
      window(outside, outside, outside);
    } else {
      StoreGrad<kAdd>(left0, dx_above + before);
      StoreGrad<kAdd>(left1, dx_row + before);
    }
  }
}

/// dx of rows `band` from the rows of windows that touch them; what these give to other rows is thrown away.
/// Returns the first row that is not complete, as above.
template <int kStride, bool kAdd, class Gradient>
int64_t MaxGrad3x3(const PoolPlan& p, const Gradient& gradient, const View& x, const Out& dx, int64_t image,
                   Range band, float* scratch) {
  Lines lines{scratch};
  float *outside = lines.take(p.padded(), -kInfinity), *nowhere = lines.take(kStride * p.row);
  float *above = lines.take(p.row), *row = lines.take(p.row), *below = lines.take(p.row), *line = lines.take(p.row);
  const auto target = [&](int64_t r) {
    return r >= band.begin && r < band.end ? RowOf(dx, image, r, nullptr) : nowhere;
  };
  // A row of windows behind the last one, with no gradient, completes the last row of cells.
  int64_t yo = p.windows(band.begin).begin;
  FiniteRows finite(x, image, p.v.begin(yo));
  for (; p.v.begin(yo) < band.end; ++yo) {
    const int64_t r = p.v.begin(yo);
    if (!finite.until(r + 3)) return std::max(r, band.begin);
    const float *x0 = RowOf(x, image, r, outside), *x1 = RowOf(x, image, r + 1, outside),
                *x2 = RowOf(x, image, r + 2, outside);
    if (yo == p.height) std::fill_n(line, p.row, 0.0f);
    const float* g = yo < p.height ? gradient(image * p.height + yo, line) : line;
    if constexpr (kStride == 1) {
      MaxGrad3x3Row1<kAdd>(p, x0, x1, x2, g, above, row, below, target(r));
      std::swap(above, row);
      std::swap(row, below);
    } else {
      MaxGrad3x3Row2<kAdd>(p, x0, x1, x2, g, above, below, target(r), target(r + 1));
      std::swap(above, below);
    }
  }
  return band.end;
}

/// A row of dx from the rows of windows that cover it, with stride 2 two at most: sums along the row. Gradients are
/// divided by the divisors already.
template <int kStride, bool kAdd>
void AvgGrad3x3Row(const PoolPlan& p, const float* const (&rows)[3], float* dx) {
  const F32 d;
  const float *g0 = rows[0], *g1 = rows[1], *g2 = rows[2];
  const int64_t channels = p.channels, width = p.width, size = p.h.size;
  for (int64_t c = 0; c < channels; c += kLanes) {
    const auto column = [=](int64_t j) HWY_ATTR {
      const Vec32 sum = hn::Add(hn::LoadU(d, g0 + j), hn::LoadU(d, g1 + j));
      return kStride == 1 ? hn::Add(sum, hn::LoadU(d, g2 + j)) : sum;
    };
    Vec32 left = hn::Zero(d);
    if constexpr (kStride == 1) {
      Vec32 middle = column(c);
      int64_t j = c;
      for (; j < (width - 1) * channels; j += channels) {
        const Vec32 right = column(j + channels);
        StoreGrad<kAdd>(hn::Add(hn::Add(left, middle), right), dx + j);
        left = middle;
        middle = right;
      }
      StoreGrad<kAdd>(hn::Add(left, middle), dx + j);
    } else {
      for (int64_t i = 0; i < width; ++i) {
        const Vec32 own = column(i * channels + c);
        if (i > 0) StoreGrad<kAdd>(hn::Add(left, own), dx + (2 * i - 1) * channels + c);
        StoreGrad<kAdd>(own, dx + 2 * i * channels + c);
        left = own;
      }
      if (2 * width - 1 < size) StoreGrad<kAdd>(left, dx + (2 * width - 1) * channels + c);
    }
  }
}

template <int kStride, bool kAdd, class Gradient>
void AvgGrad3x3(const PoolPlan& p, const Gradient& gradient, const Out& dx, int64_t image, Range band,
                float* scratch) {
  Lines lines{scratch};
  float *ring = lines.take(3 * p.row), *line = lines.take(p.row), *nothing = lines.take(p.line);
  int64_t made = 0;
  for (int64_t r = band.begin; r < band.end; ++r) {
    const Range windows = p.windows(r);
    const float* rows[3] = {nothing, nothing, nothing};
    int n = 0;
    for (int64_t yo = windows.begin; yo < windows.end; ++yo) {
      float* row = ring + yo % 3 * p.row;
      rows[n++] = row;
      if (yo < made) continue;
      made = yo + 1;
      const float *g = gradient(image * p.height + yo, line), factor = 1.0f / static_cast<float>(p.v.divisor(yo));
      for (int64_t i = 0; i < p.width; ++i) {
        const Vec32 f = hn::Set(F32(), factor / static_cast<float>(p.h.divisor(i)));
        for (int64_t j = i * p.channels; j < (i + 1) * p.channels; j += kLanes)
          hn::StoreU(hn::Mul(hn::LoadU(F32(), g + j), f), F32(), row + j);
      }
    }
    AvgGrad3x3Row<kStride, kAdd>(p, rows, RowOf(dx, image, r, nullptr));
  }
}

/// A band of rows of y.
template <bool kMax, class Ready>
void ForwardBand(const PoolPlan& p, const View& x, const View& y, int64_t image, Range band, float* scratch,
                 const Ready& ready) {
  if (Is3x3(p, x.ld, y.ld)) {
    const auto f = p.v.stride == 1 ? Forward3x3<kMax, 1, Ready> : Forward3x3<kMax, 2, Ready>;
    band.begin = f(p, x, y, image, band, scratch, ready);
  }
  if (band.begin < band.end) ForwardTask<kMax>(p, x, y, image, band, scratch, ready);
}

/// A band of rows of dx.
template <class Gradient>
void MaxGradBand(const PoolPlan& p, const Gradient& gradient, const View& x, const Out& dx, int64_t image,
                 Range band, float* scratch) {
  if (Is3x3(p, x.ld, dx.ld)) {
    const bool add = dx.write == Write::kAdd;
    const auto f = p.v.stride == 1 ? (add ? MaxGrad3x3<1, true, Gradient> : MaxGrad3x3<1, false, Gradient>)
                                   : (add ? MaxGrad3x3<2, true, Gradient> : MaxGrad3x3<2, false, Gradient>);
    band.begin = f(p, gradient, x, dx, image, band, scratch);
  }
  if (band.begin < band.end) MaxGradTask(p, gradient, x, dx, image, band, scratch);
}
template <class Gradient>
void AvgGradBand(const PoolPlan& p, const Gradient& gradient, const Out& dx, int64_t image, Range band,
                 float* scratch) {
  if (!Is3x3(p, p.channels, dx.ld)) return AvgGradTask(p, gradient, dx, image, band, scratch);
  const bool add = dx.write == Write::kAdd;
  const auto f = p.v.stride == 1 ? (add ? AvgGrad3x3<1, true, Gradient> : AvgGrad3x3<1, false, Gradient>)
                                 : (add ? AvgGrad3x3<2, true, Gradient> : AvgGrad3x3<2, false, Gradient>);
  f(p, gradient, dx, image, band, scratch);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();
#endif
