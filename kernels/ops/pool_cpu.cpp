// Pooling is separable: along the rows first, then across them; the first maximum of a window in row-major order is
// the first row that holds the maximum and the first maximum in it. Every input row is copied once into a small
// padded line, split by the remainder modulo the horizontal stride, so that every tap of every output pixel of a
// row is one contiguous shift of the line: no borders, no strides, and channels of any number fill whole vectors.
#include "kernels/ops/pool.h"

#include <cmath>
#include <utility>

#include "kernels/core/parallel.h"
#include "kernels/ops/pool_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/pool_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/ops/pool_rows.h"

#ifndef MIXOP_KERNELS_OPS_POOL_CPU_ONCE
#define MIXOP_KERNELS_OPS_POOL_CPU_ONCE
namespace mixop::kernels {
namespace {
constexpr int kMaxKernel = 32;

/// Geometry of a call and the lines of floats that each thread works in.
struct PoolPlan {
  /// The pixels of an input row that phase p holds: `count` of them from pixel `x` on, each h.stride apart,
  /// beginning at position `at` of the phase.
  struct Pixels {
    int64_t x, at, count;
  };

  PoolAxis v, h;
  int64_t images, channels, height, width;  // output height and width
  int64_t reach;                            // largest shift of a tap, in pixels of a phase
  int64_t phase;                            // pixels of one phase of a padded line
  int64_t row, line;                        // floats of an output row; of such a row with zeros at both ends
  std::array<int64_t, kMaxKernel> tap_phase{}, tap_shift{};  // where each horizontal tap lies
  std::array<Pixels, kMaxKernel> phases{};

  PoolPlan(const PoolAttrs& attrs, const Shape& x)
      : v(attrs, x, 0), h(attrs, x, 1), images(x[0]), channels(x[3]), height(v.outputs()), width(h.outputs()) {
    reach = (h.extent() - 1) / h.stride;
    phase = std::max(width + reach, (h.size - 1 + h.pad) / h.stride + 1);
    row = round_up(width * channels);
    line = round_up((reach + phase) * channels);
    for (int64_t k = 0; k < h.kernel; ++k) {
      tap_phase[k] = k * h.dilation % h.stride;
      tap_shift[k] = k * h.dilation / h.stride;
    }
    for (int64_t p = 0; p < h.stride; ++p) phases[p] = pixels(p);
  }
  static int64_t round_up(int64_t n) { return (n + 15) / 16 * 16; }
  int64_t padded() const { return round_up(h.stride * phase * channels); }

  Pixels pixels(int64_t p) const {
    const int64_t at = std::max<int64_t>(0, (h.pad - p + h.stride - 1) / h.stride);
    const int64_t x = p + at * h.stride - h.pad;
    return {x, at, x < h.size ? (h.size - 1 - x) / h.stride + 1 : 0};
  }
  /// The place of row r in a ring that holds the rows of one window.
  int64_t slot(int64_t r) const { return static_cast<uint32_t>(r) % static_cast<uint32_t>(v.extent()); }
  /// Windows that touch input row r: [begin, end).
  Range windows(int64_t r) const {
    const int64_t before = r + v.pad - v.extent();  // last row position before the first such window
    return {before < 0 ? 0 : before / v.stride + 1, std::min(height, (r + v.pad) / v.stride + 1)};
  }
  /// Bands of rows of one image, enough for many threads; each of them repeats some rows of its neighbours.
  int64_t bands(int64_t rows) const {
    return std::clamp<int64_t>(32 / images, 1, std::max<int64_t>(rows / (4 * v.extent()), 1));
  }

  int64_t forward_floats() const { return padded() + (v.extent() + 2) * row; }
  int64_t max_grad_floats() const { return padded() + v.extent() * (row + 2 * line) + 2 * row + line; }
  int64_t avg_grad_floats() const { return (v.extent() + 2) * row + 2 * line; }
};

/// Calls f(image, band of rows, the thread's scratch) for every band of every image.
template <class F>
void for_bands(const Call& call, const PoolPlan& plan, int64_t rows, int64_t floats, const F& f) {
  const int64_t bands = plan.bands(rows);
  parallel_for(*call.exec, plan.images * bands, [&](int64_t task, int thread) {
    f(task / bands, part_of(rows, bands, task % bands), call.exec->scratch<float>() + thread * floats);
  });
}
}  // namespace
}  // namespace mixop::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Lines of one thread, handed out in order.
struct Lines {
  float* next;
  float* take(int64_t floats, float fill = 0) {
    std::fill_n(next, floats, fill);
    return std::exchange(next, next + floats);
  }
};

/// Copies an input row into the padded line.
void LoadLine(const PoolPlan& p, const float* x, int64_t ld, float* padded) {
  for (int64_t ph = 0; ph < p.h.stride; ++ph) {
    const PoolPlan::Pixels px = p.phases[ph];
    CopyPixels(x + px.x * ld, p.h.stride * ld, padded + (ph * p.phase + px.at) * p.channels, p.channels, px.count,
               p.channels);
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

template <bool kMax>
void ForwardTask(const PoolPlan& p, const View& x, const View& y, int64_t image, Range band, float* scratch) {
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
      LoadLine(p, x.as<float>() + (image * p.v.size + made) * p.h.size * x.ld, x.ld, padded);
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

void MaxGradTask(const PoolPlan& p, const View& dy, const View& x, const Out& dx, int64_t image, Range band,
                 float* scratch) {
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
      LoadLine(p, x.as<float>() + (image * p.v.size + made) * p.h.size * x.ld, x.ld, padded);
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
    const float* g = dy.as<float>() + (image * p.height + yo) * p.width * dy.ld;
    if (dy.ld != p.channels) CopyPixels(g, dy.ld, dense_dy, p.channels, p.width, p.channels);
    (n == 3 ? ScatterToRowsN<3> : ScatterToRowsN<0>)(rows, row_grads, n, dy.ld == p.channels ? g : dense_dy, count);
  }
  store_until(band.end);
}

void AvgGradTask(const PoolPlan& p, const View& dy, const Out& dx, int64_t image, Range band, float* scratch) {
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
      const float* g = dy.as<float>() + (image * p.height + yo) * p.width * dy.ld;
      if (dy.ld != p.channels) CopyPixels(g, dy.ld, dense_dy, p.channels, p.width, p.channels);
      ScaleRow(dy.ld == p.channels ? g : dense_dy, factors, 1.0f / static_cast<float>(p.v.divisor(yo)), row, count);
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

template <bool kMax>
void RunForward(const Call& call) {
  const PoolPlan plan(call.attr<PoolAttrs>(), call.in[0].shape);
  for_bands(call, plan, plan.height, plan.forward_floats(), [&](int64_t image, Range band, float* scratch) {
    ForwardTask<kMax>(plan, call.in[0], call.out[0], image, band, scratch);
  });
}
void MaxForward(const Call& call) { RunForward<true>(call); }
void AvgForward(const Call& call) { RunForward<false>(call); }

void MaxGrad(const Call& call) {
  const PoolPlan plan(call.attr<PoolAttrs>(), call.in[1].shape);
  for_bands(call, plan, plan.v.size, plan.max_grad_floats(), [&](int64_t image, Range band, float* scratch) {
    MaxGradTask(plan, call.in[0], call.in[1], call.out[0], image, band, scratch);
  });
}

void AvgGrad(const Call& call) {
  const auto& attrs = call.attr<AvgPoolGradAttrs>();
  const PoolPlan plan(attrs.pool, attrs.x);
  for_bands(call, plan, plan.v.size, plan.avg_grad_floats(), [&](int64_t image, Range band, float* scratch) {
    AvgGradTask(plan, call.in[0], call.out[0], image, band, scratch);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(MaxForward);
HWY_EXPORT(AvgForward);
HWY_EXPORT(MaxGrad);
HWY_EXPORT(AvgGrad);
namespace {

void max_pool(const Call& call) { HWY_DYNAMIC_DISPATCH(MaxForward)(call); }
void avg_pool(const Call& call) { HWY_DYNAMIC_DISPATCH(AvgForward)(call); }
void max_pool_grad(const Call& call) { HWY_DYNAMIC_DISPATCH(MaxGrad)(call); }
void avg_pool_grad(const Call& call) { HWY_DYNAMIC_DISPATCH(AvgGrad)(call); }

bool small_kernel(const PoolAttrs& a) { return std::max({a.kernel[0], a.kernel[1], a.stride[1]}) <= kMaxKernel; }
bool accepts(const Call& call) { return all_float32(call) && small_kernel(call.attr<PoolAttrs>()); }
bool accepts_avg_grad(const Call& call) {
  return all_float32(call) && small_kernel(call.attr<AvgPoolGradAttrs>().pool);
}

size_t bytes(const Call& call, int64_t floats) { return call.exec->threads * floats * sizeof(float); }
size_t forward_bytes(const Call& call) {
  return bytes(call, PoolPlan(call.attr<PoolAttrs>(), call.in[0].shape).forward_floats());
}
size_t max_grad_bytes(const Call& call) {
  return bytes(call, PoolPlan(call.attr<PoolAttrs>(), call.in[1].shape).max_grad_floats());
}
size_t avg_grad_bytes(const Call& call) {
  const auto& attrs = call.attr<AvgPoolGradAttrs>();
  return bytes(call, PoolPlan(attrs.pool, attrs.x).avg_grad_floats());
}

void run_max_pool_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { max_pool_ref<T>(call); });
}
void run_max_pool_grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { max_pool_grad_ref<T>(call); });
}
void run_avg_pool_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { avg_pool_ref<T>(call); });
}
void run_avg_pool_grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { avg_pool_grad_ref<T>(call); });
}

constexpr Impl kMaxPool[] = {{"separable", accepts, max_pool, forward_bytes}, {"ref", any, run_max_pool_ref}};
constexpr Impl kMaxPoolGrad[] = {{"separable", accepts, max_pool_grad, max_grad_bytes},
                                 {"ref", any, run_max_pool_grad_ref}};
constexpr Impl kAvgPool[] = {{"separable", accepts, avg_pool, forward_bytes}, {"ref", any, run_avg_pool_ref}};
constexpr Impl kAvgPoolGrad[] = {{"separable", accepts_avg_grad, avg_pool_grad, avg_grad_bytes},
                                 {"ref", any, run_avg_pool_grad_ref}};
}  // namespace

std::span<const Impl> max_pool_cpu() { return kMaxPool; }
std::span<const Impl> max_pool_grad_cpu() { return kMaxPoolGrad; }
std::span<const Impl> avg_pool_cpu() { return kAvgPool; }
std::span<const Impl> avg_pool_grad_cpu() { return kAvgPoolGrad; }
}  // namespace mixop::kernels
#endif
