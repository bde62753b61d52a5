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

/// ld: of the result.
bool Is3x3(const PoolPlan& p, int64_t ld) {
  const auto fits = [](const PoolAxis& a) {
    return a.kernel == 3 && a.pad == 1 && a.dilation == 1 && a.stride <= 2 && !a.ceil_mode;
  };
  return fits(p.v) && fits(p.h) && p.v.stride == p.h.stride && p.channels % kLanes == 0 && ld == p.channels;
}

/// Row y of an image.
float* RowOf(const View& v, int64_t image, int64_t y) {
  return v.as<float>() + (image * v.shape[1] + y) * v.shape[2] * v.ld;
}

/// The last three rows of an image, pixels side by side, as they come to be read; for a maximum they are searched
/// for NaN and infinity.
template <bool kMax>
class InputRows {
 public:
  InputRows(const PoolPlan& p, const PoolInput& in, int64_t image, int64_t first, Lines& lines)
      : p_(p),
        in_(in),
        image_(image),
        next_(std::max<int64_t>(first, 0)),
        outside_(lines.take(p.padded(), kMax ? -kInfinity : 0)),
        copies_(in.scale || in.x.ld != p.channels ? lines.take(3 * p.input) : nullptr) {}

  /// Makes the rows before `end`. Returns whether all so far are finite.
  bool until(int64_t end) {
    for (; next_ < std::min(end, p_.v.size); ++next_) {
      if (copies_) Copy(next_);
      if constexpr (kMax) finite_ = finite_ && IsFinite((*this)[next_]);
    }
    return finite_;
  }
  const float* operator[](int64_t y) const {
    if (y < 0 || y >= p_.v.size) return outside_;
    return copies_ ? copies_ + y % 3 * p_.input : RowOf(in_.x, image_, y);
  }

 private:
  void Copy(int64_t y) {
    const float* row = RowOf(in_.x, image_, y);
    float* to = copies_ + y % 3 * p_.input;
    if (in_.scale) ScalePixels(row, in_.x.ld, in_.scale, in_.shift, to, p_.channels, p_.h.size);
    else CopyPixels(row, in_.x.ld, to, p_.channels, p_.h.size, p_.channels);
  }
  bool IsFinite(const float* row) const {
    const F32 d;
    const int64_t count = p_.h.size * p_.channels;
    Vec32 sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};  // of 0 * x: 0 or NaN
    int64_t j = 0;
    for (; j + 4 * kLanes <= count; j += 4 * kLanes)
      for (int k = 0; k < 4; ++k) sum[k] = hn::MulAdd(hn::LoadU(d, row + j + k * kLanes), hn::Zero(d), sum[k]);
    for (; j < count; j += kLanes) sum[0] = hn::MulAdd(hn::LoadU(d, row + j), hn::Zero(d), sum[0]);
    return hn::AllFalse(d, hn::IsNaN(hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]))));
  }

  const PoolPlan& p_;
  PoolInput in_;
  int64_t image_, next_;
  float *outside_, *copies_;
  bool finite_ = true;
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
int64_t Forward3x3(const PoolPlan& p, const PoolInput& in, const View& y, int64_t image, Range band, float* scratch,
                   const Ready& ready) {
  Lines lines{scratch};
  float* factors = lines.take(p.row);
  for (int64_t xo = 0; xo < p.width; ++xo) factors[xo] = 1.0f / static_cast<float>(p.h.divisor(xo));
  InputRows<kMax> x(p, in, image, p.v.begin(band.begin), lines);
  for (int64_t yo = band.begin; yo < band.end; ++yo) {
    const int64_t r = p.v.begin(yo);
    if (!x.until(r + 3)) return yo;
    Forward3x3Row<kMax, kStride>(p, x[r], x[r + 1], x[r + 2], factors, 1.0f / static_cast<float>(p.v.divisor(yo)),
                                 RowOf(y, image, yo));
    ready((image * p.height + yo + 1) * p.width);
  }
  return band.end;
}

/// A band of rows of y.
template <bool kMax, class Ready>
void ForwardBand(const PoolPlan& p, const PoolInput& x, const View& y, int64_t image, Range band, float* scratch,
                 const Ready& ready) {
  if (Is3x3(p, y.ld)) {
    const auto f = p.v.stride == 1 ? Forward3x3<kMax, 1, Ready> : Forward3x3<kMax, 2, Ready>;
    band.begin = f(p, x, y, image, band, scratch, ready);
  }
  if (band.begin < band.end) ForwardTask<kMax>(p, x, y, image, band, scratch, ready);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();
#endif
