// The gradients of pool_3x3.h, by the row of windows as well. Included once per SIMD target.
#if defined(MIXOP_KERNELS_OPS_POOL_GRAD_3X3_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MIXOP_KERNELS_OPS_POOL_GRAD_3X3_H_
#undef MIXOP_KERNELS_OPS_POOL_GRAD_3X3_H_
#else
#define MIXOP_KERNELS_OPS_POOL_GRAD_3X3_H_
#endif

#include "kernels/ops/pool_3x3.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

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

/// dx of rows `band` from the rows of windows that touch them, in order; what these give to other rows is thrown
/// away. A row of windows behind the last one, with no gradient, completes the last row of cells.
template <int kStride>
class MaxGrad3x3 {
 public:
  MaxGrad3x3(const PoolPlan& p, const PoolInput& in, const Out& dx, int64_t image, Range band, float* scratch)
      : p_(p),
        dx_(dx),
        image_(image),
        band_(band),
        lines_{scratch},
        x_(p, in, image, p.v.begin(p.windows(band.begin).begin), lines_),
        nowhere_(lines_.take(kStride * p.row)),
        above_(lines_.take(p.row)),
        row_(lines_.take(p.row)),
        below_(lines_.take(p.row)),
        line_(lines_.take(p.row)) {}

  /// Row yo of windows completes the rows of dx that begin where its cells do. Returns false, and does nothing,
  /// when there is a cell that is not finite.
  template <class Gradient>
  bool take(int64_t yo, const Gradient& gradient) {
    const int64_t r = p_.v.begin(yo);
    if (!x_.until(r + 3)) return false;
    if (yo == p_.height) std::fill_n(line_, p_.row, 0.0f);
    const float* g = yo < p_.height ? gradient(image_ * p_.height + yo, line_) : line_;
    dx_.write == Write::kAdd ? Spread<true>(r, g) : Spread<false>(r, g);
    return true;
  }

 private:
  float* Target(int64_t r) const { return r >= band_.begin && r < band_.end ? RowOf(dx_, image_, r) : nowhere_; }
  template <bool kAdd>
  void Spread(int64_t r, const float* g) {
    const float *x0 = x_[r], *x1 = x_[r + 1], *x2 = x_[r + 2];
    if constexpr (kStride == 1) {
      MaxGrad3x3Row1<kAdd>(p_, x0, x1, x2, g, above_, row_, below_, Target(r));
      std::swap(above_, row_);
      std::swap(row_, below_);
    } else {
      MaxGrad3x3Row2<kAdd>(p_, x0, x1, x2, g, above_, below_, Target(r), Target(r + 1));
      std::swap(above_, below_);
    }
  }

  const PoolPlan& p_;
  Out dx_;
  int64_t image_;
  Range band_;
  Lines lines_;
  InputRows<true> x_;
  float *nowhere_, *above_, *row_, *below_, *line_;
};

/// Returns the first row that is not complete, as above.
template <int kStride, class Gradient>
int64_t RunMaxGrad3x3(const PoolPlan& p, const Gradient& gradient, const PoolInput& x, const Out& dx, int64_t image,
                      Range band, float* scratch) {
  MaxGrad3x3<kStride> grad(p, x, dx, image, band, scratch);
  for (int64_t yo = p.windows(band.begin).begin; p.v.begin(yo) < band.end; ++yo)
    if (!grad.take(yo, gradient)) return std::max(p.v.begin(yo), band.begin);
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

/// As MaxGrad3x3.
template <int kStride>
class AvgGrad3x3 {
 public:
  AvgGrad3x3(const PoolPlan& p, const Out& dx, int64_t image, Range band, float* scratch)
      : p_(p), dx_(dx), image_(image), band_(band) {
    Lines lines{scratch};
    for (float*& row : rows_) row = lines.take(p.row);
    line_ = lines.take(p.row);
    nothing_ = lines.take(p.row);
  }

  template <class Gradient>
  void take(int64_t yo, const Gradient& gradient) {
    std::rotate(rows_, rows_ + 1, rows_ + 3);
    if (yo < p_.height) Divide(gradient(image_ * p_.height + yo, line_), yo);
    else std::fill_n(rows_[2], p_.row, 0.0f);
    const int64_t r = p_.v.begin(yo);
    if constexpr (kStride == 1) {
      Store(r, {rows_[0], rows_[1], rows_[2]});
    } else {
      Store(r, {rows_[1], rows_[2], nothing_});
      Store(r + 1, {rows_[2], nothing_, nothing_});
    }
  }

 private:
  void Divide(const float* g, int64_t yo) {
    const float factor = 1.0f / static_cast<float>(p_.v.divisor(yo));
    for (int64_t i = 0; i < p_.width; ++i) {
      const Vec32 f = hn::Set(F32(), factor / static_cast<float>(p_.h.divisor(i)));
      for (int64_t j = i * p_.channels; j < (i + 1) * p_.channels; j += kLanes)
        hn::StoreU(hn::Mul(hn::LoadU(F32(), g + j), f), F32(), rows_[2] + j);
    }
  }
  void Store(int64_t r, const float* const (&rows)[3]) const {
    if (r < band_.begin || r >= band_.end) return;
    const auto f = dx_.write == Write::kAdd ? AvgGrad3x3Row<kStride, true> : AvgGrad3x3Row<kStride, false>;
    f(p_, rows, RowOf(dx_, image_, r));
  }

  const PoolPlan& p_;
  Out dx_;
  int64_t image_;
  Range band_;
  float *rows_[3], *line_, *nothing_;  ///< rows_: of the last three rows of windows, divided
};

template <int kStride, class Gradient>
void RunAvgGrad3x3(const PoolPlan& p, const Gradient& gradient, const Out& dx, int64_t image, Range band,
                   float* scratch) {
  AvgGrad3x3<kStride> grad(p, dx, image, band, scratch);
  for (int64_t yo = p.windows(band.begin).begin; p.v.begin(yo) < band.end; ++yo) grad.take(yo, gradient);
}

/// A band of rows of dx.
template <class Gradient>
void MaxGradBand(const PoolPlan& p, const Gradient& gradient, const PoolInput& x, const Out& dx, int64_t image,
                 Range band, float* scratch) {
  if (Is3x3(p, dx.ld)) {
    const auto f = p.v.stride == 1 ? RunMaxGrad3x3<1, Gradient> : RunMaxGrad3x3<2, Gradient>;
    band.begin = f(p, gradient, x, dx, image, band, scratch);
  }
  if (band.begin < band.end) MaxGradTask(p, gradient, x, dx, image, band, scratch);
}
template <class Gradient>
void AvgGradBand(const PoolPlan& p, const Gradient& gradient, const Out& dx, int64_t image, Range band,
                 float* scratch) {
  if (!Is3x3(p, dx.ld)) return AvgGradTask(p, gradient, dx, image, band, scratch);
  const auto f = p.v.stride == 1 ? RunAvgGrad3x3<1, Gradient> : RunAvgGrad3x3<2, Gradient>;
  f(p, gradient, dx, image, band, scratch);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();
#endif
