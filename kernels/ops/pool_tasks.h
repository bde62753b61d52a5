// Pooling of one band of rows and its gradients. Included once per SIMD target.
//
// Pooling is separable: along the rows first, then across them; the first maximum of a window in row-major order is
// the first row that holds the maximum and the first maximum in it. Every input row is copied once into a small
// padded line, split by the remainder modulo the horizontal stride, so that every tap of every output pixel of a
// row is one contiguous shift of the line: no borders, no strides, and channels of any number fill whole vectors.
#if defined(MIXOP_KERNELS_OPS_POOL_TASKS_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MIXOP_KERNELS_OPS_POOL_TASKS_H_
#undef MIXOP_KERNELS_OPS_POOL_TASKS_H_
#else
#define MIXOP_KERNELS_OPS_POOL_TASKS_H_
#endif

#include "kernels/ops/pool_plan.h"
#include "kernels/ops/pool_rows.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Copies an input row, counted over all images, into the padded line.
void LoadLine(const PoolPlan& p, const PoolInput& in, int64_t row, float* padded) {
  const int64_t ld = in.x.ld;
  const float* x = in.x.as<float>() + row * p.h.size * ld;
  for (int64_t ph = 0; ph < p.h.stride; ++ph) {
    const PoolPlan::Pixels px = p.phases[ph];
    float* to = padded + (ph * p.phase + px.at) * p.channels;
    if (in.scale) ScalePixels(x + px.x * ld, p.h.stride * ld, in.scale, in.shift, to, p.channels, px.count);
    else CopyPixels(x + px.x * ld, p.h.stride * ld, to, p.channels, px.count, p.channels);
  }
}

/// Where the taps of output pixel 0 lie in a padded line.
void FindTaps(const PoolPlan& p, const float* padded, const float** taps) {
  for (int64_t k = 0; k < p.h.kernel; ++k)
    taps[k] = padded + (p.tap_phase[k] * p.phase + p.tap_shift[k]) * p.channels;
}

/// row[pixel, channel] = value(pixel) for an output row.
template <class F>
void FillByPixel(const PoolPlan& p, float* row, const F& value) {
  for (int64_t xo = 0; xo < p.width; ++xo) std::fill_n(row + xo * p.channels, p.channels, value(xo));
}

/// 1 / divisor of each pixel along the row.
void FillFactors(const PoolPlan& p, float* factors) {
  FillByPixel(p, factors, [&](int64_t xo) { return 1.0f / static_cast<float>(p.h.divisor(xo)); });
}

/// Pools the windows of rows `band` of y; ready(n) is called when the first n pixels of y are complete.
template <bool kMax, class Ready>
void ForwardTask(const PoolPlan& p, const PoolInput& x, const View& y, int64_t image, Range band, float* scratch,
                 const Ready& ready) {
  Lines lines{scratch};
  float* padded = lines.take(p.padded(), kMax ? -kInfinity : 0);
  float *ring = lines.take(p.v.extent() * p.row), *factors = lines.take(p.row), *result = lines.take(p.row);
  if constexpr (!kMax) FillFactors(p, factors);
  const float* taps[kMaxKernel];
  FindTaps(p, padded, taps);
  const int64_t count = p.width * p.channels, extent = p.v.extent();
  int64_t made = 0;
  for (int64_t yo = band.begin; yo < band.end; ++yo) {
    const int64_t begin = p.v.begin(yo);
    for (made = std::max(made, begin); made < std::min(begin + extent, p.v.size); ++made) {
      LoadLine(p, x, image * p.v.size + made, padded);
      float* row = ring + p.slot(made) * p.row;
      const int n = static_cast<int>(p.h.kernel);
      kMax ? MaxOf(taps, n, row, count) : SumOf(taps, n, row, count);
    }
    const float* rows[kMaxKernel];
    int n = 0;
    for (int64_t k = 0, r = begin; k < p.v.kernel; ++k, r += p.v.dilation)
      if (r >= 0 && r < p.v.size) rows[n++] = ring + p.slot(r) * p.row;
    float* out = y.as<float>() + (image * p.height + yo) * p.width * y.ld;
    float* to = y.ld == p.channels ? out : result;
    if constexpr (kMax) {
      MaxOf(rows, n, to, count);
    } else {
      SumOf(rows, n, to, count);
      ScaleRow(to, factors, 1.0f / static_cast<float>(p.v.divisor(yo)), to, count);
    }
    if (to != out) CopyPixels(to, p.channels, out, y.ld, p.width, p.channels);
    ready((image * p.height + yo + 1) * p.width);
  }
}

/// Calls gather(add, phase, position, floats, out) for every phase of a row of dx, and spreads the result when the
/// row's pixels are not contiguous.
template <class Gather>
void StoreGradRow(const PoolPlan& p, const Out& dx, int64_t row, float* temporary, const Gather& gather) {
  float* out = dx.as<float>() + row * p.h.size * dx.ld;
  const bool add = dx.write == Write::kAdd, direct = p.h.stride == 1 && dx.ld == p.channels;
  for (int64_t ph = 0; ph < p.h.stride; ++ph) {
    const PoolPlan::Pixels px = p.phases[ph];
    gather(direct && add, ph, px.at, px.count * p.channels, direct ? out : temporary);
    if (direct) continue;
    (add ? CopyPixels<true> : CopyPixels<false>)(temporary, p.channels, out + px.x * dx.ld, p.h.stride * dx.ld,
                                                 px.count, p.channels);
  }
}

/// The gradient that arrives, a dense row of windows at a time.
struct PlainGradient {
  const PoolPlan& p;
  const View& dy;
  const float* operator()(int64_t row, float* line) const {
    const float* g = dy.as<float>() + row * p.width * dy.ld;
    if (dy.ld == p.channels) return g;
    CopyPixels(g, dy.ld, line, p.channels, p.width, p.channels);
    return line;
  }
};

template <class Gradient>
void MaxGradTask(const PoolPlan& p, const Gradient& gradient, const PoolInput& x, const Out& dx, int64_t image,
                 Range band, float* scratch) {
  Lines lines{scratch};
  const int64_t count = p.width * p.channels, extent = p.v.extent(), lead = p.reach * p.channels;
  float *padded = lines.take(p.padded(), -kInfinity), *best = lines.take(extent * p.row),
        *picks = lines.take(extent * p.line), *grads = lines.take(extent * p.line), *first = lines.take(p.row),
        *dense_dy = lines.take(p.row), *temporary = lines.take(p.line);
  const int kernel = static_cast<int>(p.h.kernel);
  FillByPixel(p, first, [&](int64_t xo) {
    const int64_t outside = std::max<int64_t>(0, -p.h.begin(xo));
    return static_cast<float>((outside + p.h.dilation - 1) / p.h.dilation);
  });
  const float* taps[kMaxKernel];
  FindTaps(p, padded, taps);
  const Range windows = {p.windows(band.begin).begin, p.windows(band.end - 1).end};
  int64_t made = 0, stored = band.begin;
  // Rows before `end` get no more gradient: they go out. Rows that no window touched are zero.
  const auto store_until = [&](int64_t end) {
    for (; stored < std::min(end, band.end); ++stored) {
      const int64_t slot = p.slot(stored) * p.line;
      const bool touched = stored < made && p.windows(stored).begin < p.windows(stored).end;
      StoreGradRow(p, dx, image * p.v.size + stored, temporary,
                   [&](bool add, int64_t ph, int64_t at, int64_t floats, float* out) {
                     PickedTap picked[kMaxKernel];
                     int n = 0;
                     for (int k = 0; touched && k < kernel; ++k) {
                       if (p.tap_phase[k] != ph) continue;
                       const int64_t from = slot + lead + (at - p.tap_shift[k]) * p.channels;
                       picked[n++] = {picks + from, grads + from, static_cast<float>(k)};
                     }
                     (add ? GatherPicked<true> : GatherPicked<false>)(picked, n, out, floats);
                   });
    }
  };
  for (int64_t yo = windows.begin; yo < windows.end; ++yo) {
    const int64_t begin = p.v.begin(yo);
    store_until(begin);
    for (made = std::max(made, begin); made < std::min(begin + extent, p.v.size); ++made) {
      LoadLine(p, x, image * p.v.size + made, padded);
      const int64_t slot = p.slot(made);
      (kernel == 3 ? PickTapN<3> : PickTapN<0>)(taps, kernel, first, best + slot * p.row,
                                                picks + slot * p.line + lead, count);
      std::fill_n(grads + slot * p.line + lead, count, 0.0f);
    }
    const float* rows[kMaxKernel];
    float* row_grads[kMaxKernel];
    int n = 0;
    for (int64_t k = 0, r = begin; k < p.v.kernel; ++k, r += p.v.dilation) {
      if (r < 0 || r >= p.v.size) continue;
      rows[n] = best + p.slot(r) * p.row;
      row_grads[n++] = grads + p.slot(r) * p.line + lead;
    }
    if (n == 0) continue;
    const float* g = gradient(image * p.height + yo, dense_dy);
    (n == 3 ? ScatterToRowsN<3> : ScatterToRowsN<0>)(rows, row_grads, n, g, count);
  }
  store_until(band.end);
}

template <class Gradient>
void AvgGradTask(const PoolPlan& p, const Gradient& gradient, const Out& dx, int64_t image, Range band,
                 float* scratch) {
  Lines lines{scratch};
  const int64_t count = p.width * p.channels, extent = p.v.extent(), lead = p.reach * p.channels;
  float *ring = lines.take(extent * p.row), *factors = lines.take(p.row), *dense_dy = lines.take(p.row),
        *line = lines.take(p.line), *temporary = lines.take(p.line);
  FillFactors(p, factors);
  int64_t made = 0;
  for (int64_t r = band.begin; r < band.end; ++r) {
    const Range windows = p.windows(r);
    const float* rows[kMaxKernel];
    int n = 0;
    for (int64_t yo = windows.begin; yo < windows.end; ++yo) {
      float* row = ring + p.slot(yo) * p.row;
      rows[n++] = row;
      if (yo < made) continue;
      made = yo + 1;
      const float* g = gradient(image * p.height + yo, dense_dy);
      ScaleRow(g, factors, 1.0f / static_cast<float>(p.v.divisor(yo)), row, count);
    }
    SumOf(rows, n, line + lead, count);
    StoreGradRow(p, dx, image * p.v.size + r, temporary,
                 [&](bool add, int64_t ph, int64_t at, int64_t floats, float* out) {
                   const float* taps[kMaxKernel];
                   int m = 0;
                   for (int64_t k = 0; k < p.h.kernel; ++k)
                     if (p.tap_phase[k] == ph) taps[m++] = line + lead + (at - p.tap_shift[k]) * p.channels;
                   (add ? SumOf<true> : SumOf<false>)(taps, m, out, floats);
                 });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();
#endif
